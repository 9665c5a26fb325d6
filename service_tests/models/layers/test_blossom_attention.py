"""BlossomRec's attention equals its rules written as loops over single queries and keys."""

import pytest
import torch

from models.layers import blossom_attention
from models.layers.block_selectors import SELECTORS
from models.layers.blossom_attention import BlossomAttention
from models.layers.positional import RotaryPositions
from models.layers.sparse_attention import (
    attend_in_groups,
    build_short_term_mask,
    mask_visible_blocks,
    select_blocks,
)
from service_tests.models.layers.reference_blossom import Sizes, compute_by_loops

SMALL = Sizes(dim=16, heads=4, key_heads=2, window=8, block=4, selected=2, short=3)
PUBLISHED = Sizes(dim=16, heads=4, key_heads=2, window=32, block=16, selected=4, short=8)


def create_attention(seed: int = 0, selector: str = "straight_through", sizes: Sizes = SMALL) -> BlossomAttention:
    torch.manual_seed(seed)
    module = BlossomAttention(
        sizes.dim,
        RotaryPositions(sizes.dim // sizes.heads, 200),
        heads=sizes.heads,
        key_heads=sizes.key_heads,
        compress_window=sizes.window,
        block=sizes.block,
        blocks_chosen=sizes.selected,
        short_window=sizes.short,
        selector=selector,
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5 if parameter.shape[-1] <= 32 else 0.1)
    return module


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize(
    ("sizes", "length"),
    [*((SMALL, length) for length in (1, 3, 4, 5, 8, 31)), *((PUBLISHED, n) for n in (1, 5, 15, 16, 17, 50, 100, 200))],
)
@torch.no_grad()
def test_attention_equals_the_loops(selector: str, sizes: Sizes, length: int) -> None:
    # float64, so that both order two blocks of almost equal importance alike
    module = create_attention(length, selector, sizes).double()
    generator = torch.Generator().manual_seed(length)
    x = torch.randn(1 if length > 50 else 2, length, sizes.dim, generator=generator, dtype=torch.float64)
    expected = torch.stack([compute_by_loops(module, selector, row, sizes) for row in x])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("length", [1, 3, 4, 17, 32])
def test_gathered_keys_give_the_values_and_gradients_of_masks(
    selector: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = create_attention(length, selector).double()
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    x = torch.randn(2, length, SMALL.dim, generator=torch.Generator().manual_seed(length), dtype=torch.float64)
    last = torch.tensor([[length - 1], [length // 2]])
    results = []
    for gather_length in (1, length + 1):
        monkeypatch.setattr(blossom_attention, "GATHER_LENGTH", gather_length)
        output = module(x)
        gradients = torch.autograd.grad(output.square().sum(), weights, materialize_grads=True)
        results.append((output, module(x, last), list(gradients)))
    torch.testing.assert_close(results[0], results[1])
    rows = torch.arange(2)[:, None]
    torch.testing.assert_close(results[0][1], results[0][0][rows, last])


def test_short_term_mask_has_window_powers_of_two_and_first_key() -> None:
    mask = build_short_term_mask(torch.arange(40), 40, 3)
    assert [key for key in range(40) if mask[39, key]] == [0, 39 - 32, 39 - 16, 39 - 8, 39 - 4, 37, 38, 39]
    assert not mask.triu(1).any()


def test_query_never_selects_its_own_or_an_incomplete_block() -> None:
    visible = mask_visible_blocks(torch.arange(12), 3, 4)
    assert visible[:, 0].tolist() == [t > 3 for t in range(12)]
    assert visible[:, 2].tolist() == [False] * 12


def test_no_block_is_selected_if_none_is_visible() -> None:
    importance = torch.tensor([[[[0.0, 0.0, 0.0], [0.7, 0.0, 0.0], [0.2, 0.5, 0.3]]]])
    selected = select_blocks(importance, 2)
    assert selected[0, 0].tolist() == [[False] * 3, [True, False, False], [False, True, True]]


def test_selector_is_trained() -> None:
    """As published, selection has no gradient and the summaries keep their initial values."""
    module = create_attention()
    module(torch.randn(1, 24, SMALL.dim, generator=torch.Generator().manual_seed(5))).square().sum().backward()
    for name, parameter in module.selector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_straight_through_bias_changes_no_value() -> None:
    module = create_attention()
    x = torch.randn(1, 24, SMALL.dim, generator=torch.Generator().manual_seed(6))
    with_gradient = module(x)
    with torch.no_grad():
        without = module(x)
    torch.testing.assert_close(with_gradient, without, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [16, 21])
def test_importance_has_the_gradient_of_the_logits_of_its_block(length: int) -> None:
    generator = torch.Generator().manual_seed(length)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    query, key, value = draw(2, 2, 3, length, 4), draw(2, 2, length, 4), draw(2, 2, length, 4)
    count = length // 4
    importance = draw(2, 2, length, count).exp().requires_grad_()
    mask = draw(2, 2, length, length) > 0
    mask |= torch.eye(length, dtype=torch.bool)
    weight = draw(2, 2, 3, length, 4)
    bias = torch.nn.functional.pad(importance - importance.detach(), (0, 1)).repeat_interleave(4, dim=-1)[..., :length]
    logits = query @ key[:, :, None].transpose(-1, -2) / 2 + bias[:, :, None]
    expected = logits.masked_fill(~mask[:, :, None], -torch.inf).softmax(-1) @ value[:, :, None]
    (expected_gradient,) = torch.autograd.grad((expected * weight).sum(), importance)
    actual = attend_in_groups(query, key, value, mask, importance, 4)
    (gradient,) = torch.autograd.grad((actual * weight).sum(), importance)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradient, expected_gradient)
    assert gradient.any()


@pytest.mark.parametrize("selector", SELECTORS)
def test_gates_initially_favor_the_short_term(selector: str) -> None:
    module = create_attention(selector=selector)
    module.reset_gates()
    start = [-2.0, 2.0, -2.0] if selector == "compressed" else [-2.0, 2.0]
    assert module.gates.bias.view(SMALL.heads, -1).tolist() == [start] * SMALL.heads
