"""Selections and gradients of each selector; no selector depends on later positions."""

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


def create_selector(name: str, seed: int = 0) -> BlockSelector:
    torch.manual_seed(seed)
    return build_block_selector(name, GROUPS, WIDTH, WINDOW, BLOCK)


def create_inputs(length: int, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, GROUPS, MEMBERS, length, WIDTH, generator=generator)
    key, value = torch.randn(2, batch, GROUPS, length, WIDTH, generator=generator)
    return query, key, value, torch.arange(length)


def create_encoder(selector: str) -> BlossomEncoder:
    torch.manual_seed(3)
    module = BlossomEncoder(16, 70, 0.0, selector=selector, compress_window=WINDOW, block=BLOCK, blocks_chosen=2)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return module.eval()


@pytest.mark.parametrize("name", SELECTORS)
def test_importance_is_positive_for_visible_blocks_only(name: str) -> None:
    importance = create_selector(name)(*create_inputs(23, batch=3)).importance
    assert importance.shape == (3, GROUPS, 23, 5)
    for t in range(23):
        for j in range(5):
            is_positive = importance[:, :, t, j] > 0
            assert bool(is_positive.all() if (j + 1) * BLOCK <= t else not is_positive.any()), (t, j)


@pytest.mark.parametrize("name", SELECTORS)
@torch.no_grad()
def test_no_position_depends_on_later_positions(name: str) -> None:
    module = create_encoder(name)
    x = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(1))
    before = module(x, torch.tensor([64, 64]))
    for position in (1, 3, 4, 5, 31, 32, 63):
        changed = x.clone()
        changed[:, position:] += 3 * torch.randn(
            changed[:, position:].shape, generator=torch.Generator().manual_seed(2)
        )
        after = module(changed, torch.tensor([64, 64]))
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-5)
        assert (after[:, position:] - before[:, position:]).abs().max() > 0.1


@pytest.mark.parametrize("name", SELECTORS)
@torch.no_grad()
def test_last_position_is_independent_of_the_batch(name: str) -> None:
    module = create_encoder(name)
    lengths = torch.tensor([1, 3, 4, 5, 16, 17, 61, 64])
    x = torch.randn(len(lengths), 64, 16, generator=torch.Generator().manual_seed(4))
    everywhere = module(x, lengths)[torch.arange(len(lengths)), lengths - 1]
    torch.testing.assert_close(module.forward_last(x, lengths), everywhere, rtol=0, atol=1e-5)
    for row, length in enumerate(lengths.tolist()):
        alone = module.forward_last(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], everywhere[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SELECTORS)
def test_selector_weights_are_trained_except_frozen(name: str) -> None:
    """Only `frozen` has weights without gradients; three selectors have no weights."""
    module = create_encoder(name)
    module(torch.randn(2, 64, 16), torch.tensor([64, 64])).square().sum().backward()
    weights = [(n, p) for n, p in module.named_parameters() if ".selector." in n]
    assert bool(weights) == (name in ("straight_through", "compressed", "frozen"))
    for path, weight in weights:
        assert weight.requires_grad == (name != "frozen"), path
        assert (weight.grad is not None and bool(weight.grad.any())) == (name != "frozen"), path
    assert all(p.grad is not None for n, p in module.named_parameters() if ".selector." not in n)


def test_compressed_summaries_are_trained_by_their_output_only() -> None:
    selector = create_selector("compressed")
    assert isinstance(selector, Compressed)
    selection = selector(*create_inputs(24))
    assert selection.output is not None
    assert not selection.importance.requires_grad
    selection.output.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in selector.parameters())


def test_compressed_output_is_zero_without_visible_blocks() -> None:
    output = create_selector("compressed")(*create_inputs(12)).output
    assert output is not None
    assert output.shape == (1, GROUPS, MEMBERS, 12, WIDTH)
    assert not output[..., :BLOCK, :].any()
    assert output[..., BLOCK:, :].all()


def test_recent_selects_the_newest_blocks() -> None:
    selected = select_blocks(create_selector("recent")(*create_inputs(24)).importance, 2)
    assert selected[0, 0, 23].tolist() == [False, False, False, True, True, False]
    assert selected[0, 0, 9].tolist() == [True, True, False, False, False, False]
    assert selected[0, 0, 7].tolist() == [True, False, False, False, False, False]


def test_mean_prefers_the_block_with_keys_parallel_to_the_query() -> None:
    query, key, value, positions = create_inputs(24)
    key[:, :, 4:8] = query[:, :, 0, 23:24] + query[:, :, 1, 23:24]  # block 1
    importance = create_selector("mean")(query, key, value, positions).importance
    assert importance[0, :, 23].argmax(-1).tolist() == [1, 1]


def test_random_depends_on_positions_only() -> None:
    first = create_selector("random", seed=1)(*create_inputs(24, seed=1)).importance
    query, key, value, positions = create_inputs(40, batch=3, seed=2)
    second = create_selector("random", seed=2)(query, key, value, positions).importance
    assert torch.equal(second[2:, :, :24, :6], first)
    assert torch.equal(first[:, :, 20], first[:, :, 23]), "the selection is constant within a block"


def test_random_covers_blocks_groups_and_queries() -> None:
    count = 64
    selected = select_blocks(create_selector("random")(*create_inputs((count + 1) * BLOCK)).importance, 4)[
        0, :, ::BLOCK
    ]
    late = selected[
        :, count // 2 :, : count // 2
    ].float()  # (group, query, block): all blocks are visible to all queries
    share = late.mean((0, 1))
    assert share.min() > 0
    assert share.max() < 0.25
    assert not torch.equal(selected[0], selected[1])
    assert len({tuple(row.nonzero().flatten().tolist()) for row in selected[0, 40:].cpu()}) == 25


def test_frozen_equals_an_untrained_straight_through() -> None:
    frozen, trained = create_selector("frozen", seed=7), create_selector("straight_through", seed=7)
    assert isinstance(frozen, Frozen)
    assert isinstance(trained, StraightThrough)
    assert torch.equal(frozen(*create_inputs(24)).importance, trained(*create_inputs(24)).importance)


def test_error_for_unknown_selector_lists_the_selectors() -> None:
    with pytest.raises(ValueError, match=f"unknown selector 'magic'; choose from {', '.join(SELECTORS)}$"):
        BlossomEncoder(16, 40, 0.0, selector="magic")


def test_window_smaller_than_the_stride_raises() -> None:
    with pytest.raises(ValueError, match="the window must be at least the stride of 4"):
        BlockSummaries(GROUPS, WIDTH, 3, 4)
