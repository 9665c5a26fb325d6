"""What each selector chooses, what it learns from, and what none of them may see."""

import pytest
import torch
from torch import Tensor

from models.encoders.blossom import BlossomEncoder
from models.layers.block_selectors import (
    SELECTORS,
    BlockSelector,
    Compressed,
    Frozen,
    StraightThrough,
    build_block_selector,
)
from models.layers.block_summaries import BlockSummaries
from models.layers.sparse_attention import select_blocks

GROUPS, MEMBERS, WIDTH, WINDOW, BLOCK = 2, 2, 4, 8, 4


def made(name: str, seed: int = 0) -> BlockSelector:
    torch.manual_seed(seed)
    return build_block_selector(name, GROUPS, WIDTH, WINDOW, BLOCK)


def inputs(length: int, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, GROUPS, MEMBERS, length, WIDTH, generator=generator)
    key, value = torch.randn(2, batch, GROUPS, length, WIDTH, generator=generator)
    return query, key, value, torch.arange(length)


def encoder(selector: str) -> BlossomEncoder:
    torch.manual_seed(3)
    built = BlossomEncoder(16, 70, 0.0, selector=selector, compress_window=WINDOW, block=BLOCK, blocks_chosen=2)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return built.eval()


@pytest.mark.parametrize("name", SELECTORS)
def test_all_visible_blocks_and_no_others_are_wanted(name: str) -> None:
    importance = made(name)(*inputs(23, batch=3)).importance
    assert importance.shape == (3, GROUPS, 23, 5)
    for t in range(23):
        for j in range(5):
            wanted = importance[:, :, t, j] > 0
            assert bool(wanted.all() if (j + 1) * BLOCK <= t else not wanted.any()), (t, j)


@pytest.mark.parametrize("name", SELECTORS)
@torch.no_grad()
def test_no_position_sees_the_future(name: str) -> None:
    module = encoder(name)
    x = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(1))
    before = module(x, torch.tensor([64, 64]))
    for place in (1, 3, 4, 5, 31, 32, 63):
        changed = x.clone()
        changed[:, place:] += 3 * torch.randn(changed[:, place:].shape, generator=torch.Generator().manual_seed(2))
        after = module(changed, torch.tensor([64, 64]))
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-5)
        assert (after[:, place:] - before[:, place:]).abs().max() > 0.1


@pytest.mark.parametrize("name", SELECTORS)
@torch.no_grad()
def test_the_last_position_is_the_same_alone_and_in_any_batch(name: str) -> None:
    module = encoder(name)
    lengths = torch.tensor([1, 3, 4, 5, 16, 17, 61, 64])
    x = torch.randn(len(lengths), 64, 16, generator=torch.Generator().manual_seed(4))
    everywhere = module(x, lengths)[torch.arange(len(lengths)), lengths - 1]
    torch.testing.assert_close(module.forward_last(x, lengths), everywhere, rtol=0, atol=1e-5)
    for row, length in enumerate(lengths.tolist()):
        alone = module.forward_last(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], everywhere[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SELECTORS)
def test_what_a_selector_learns(name: str) -> None:
    """Only `frozen` has weights that do not learn; the three without weights have none."""
    module = encoder(name)
    module(torch.randn(2, 64, 16), torch.tensor([64, 64])).square().sum().backward()
    weights = [(n, p) for n, p in module.named_parameters() if ".selector." in n]
    assert bool(weights) == (name in ("straight_through", "compressed", "frozen"))
    for path, weight in weights:
        assert weight.requires_grad == (name != "frozen"), path
        assert (weight.grad is not None and bool(weight.grad.any())) == (name != "frozen"), path
    assert all(p.grad is not None for n, p in module.named_parameters() if ".selector." not in n)


def test_the_compressed_summaries_learn_from_their_own_output_alone() -> None:
    selector = made("compressed")
    assert isinstance(selector, Compressed)
    selection = selector(*inputs(24))
    assert selection.output is not None
    assert not selection.importance.requires_grad
    selection.output.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in selector.parameters())


def test_the_compressed_output_is_zero_where_no_block_is_visible() -> None:
    output = made("compressed")(*inputs(12)).output
    assert output is not None
    assert output.shape == (1, GROUPS, MEMBERS, 12, WIDTH)
    assert not output[..., :BLOCK, :].any()
    assert output[..., BLOCK:, :].all()


def test_recent_chooses_the_newest_blocks() -> None:
    chosen = select_blocks(made("recent")(*inputs(24)).importance, 2)
    assert chosen[0, 0, 23].tolist() == [False, False, False, True, True, False]
    assert chosen[0, 0, 9].tolist() == [True, True, False, False, False, False]
    assert chosen[0, 0, 7].tolist() == [True, False, False, False, False, False]


def test_mean_prefers_the_block_whose_keys_point_where_the_query_points() -> None:
    query, key, value, places = inputs(24)
    key[:, :, 4:8] = query[:, :, 0, 23:24] + query[:, :, 1, 23:24]  # block 1
    importance = made("mean")(query, key, value, places).importance
    assert importance[0, :, 23].argmax(-1).tolist() == [1, 1]


def test_random_depends_on_places_alone() -> None:
    one = made("random", seed=1)(*inputs(24, seed=1)).importance
    query, key, value, places = inputs(40, batch=3, seed=2)
    other = made("random", seed=2)(query, key, value, places).importance
    assert torch.equal(other[2:, :, :24, :6], one)
    assert torch.equal(one[:, :, 20], one[:, :, 23]), "within a block the choice stays"


def test_random_is_spread_over_blocks_groups_and_queries() -> None:
    count = 64
    chosen = select_blocks(made("random")(*inputs((count + 1) * BLOCK)).importance, 4)[0, :, ::BLOCK]
    late = chosen[:, count // 2 :, : count // 2].float()  # (group, query, block): all of these are visible to all
    share = late.mean((0, 1))
    assert share.min() > 0
    assert share.max() < 0.25
    assert not torch.equal(chosen[0], chosen[1])
    assert len({tuple(row.nonzero().flatten().tolist()) for row in chosen[0, 40:].cpu()}) == 25


def test_frozen_chooses_like_an_untrained_straight_through() -> None:
    frozen, trained = made("frozen", seed=7), made("straight_through", seed=7)
    assert isinstance(frozen, Frozen)
    assert isinstance(trained, StraightThrough)
    assert torch.equal(frozen(*inputs(24)).importance, trained(*inputs(24)).importance)


def test_an_unknown_selector_is_told_with_the_choices() -> None:
    with pytest.raises(ValueError, match=f"no selector is called 'magic'; there are {', '.join(SELECTORS)}$"):
        BlossomEncoder(16, 40, 0.0, selector="magic")


def test_windows_that_leave_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="windows of 3 leave gaps at a stride of 4"):
        BlockSummaries(GROUPS, WIDTH, 3, 4)
