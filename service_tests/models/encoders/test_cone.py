"""The cone encoder: the last output needs few positions of the block below, those of the mask."""

import pytest
import torch
from torch import Tensor

from models.encoders.cone import ConeEncoder, compute_short_term_positions
from models.layers.attention import CausalSelfAttention
from models.layers.sparse_attention import build_short_term_mask


@pytest.mark.parametrize("window", [1, 3, 8, 16])
@pytest.mark.parametrize("length", [1, 2, 9, 17, 64, 200])
def test_positions_match_the_mask(length: int, window: int) -> None:
    last = torch.arange(length)
    positions, is_visible = compute_short_term_positions(last, length, window)
    mask = build_short_term_mask(last, length, window)
    for row in range(length):
        visible = positions[row][is_visible[row, 0]].tolist()
        assert visible[0] == row
        assert sorted(visible) == torch.nonzero(mask[row]).flatten().tolist()


@pytest.mark.parametrize(("length", "count"), [(50, 12), (200, 14), (1024, 16), (8192, 19)])
def test_long_history_needs_few_positions(length: int, count: int) -> None:
    positions, _ = compute_short_term_positions(torch.tensor([length - 1]), length, 8)
    assert positions.shape[1] == count


def build_encoder(layers: int) -> ConeEncoder:
    torch.manual_seed(0)
    encoder = ConeEncoder(16, 64, 0.0, layers=layers).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return encoder


@pytest.mark.parametrize("layers", [2, 3])
def test_forward_last_equals_the_last_position_of_forward(layers: int) -> None:
    encoder, lengths = build_encoder(layers), torch.arange(1, 65)
    x = torch.randn(64, 64, 16)
    expected = encoder(x, lengths)[torch.arange(64), lengths - 1]
    torch.testing.assert_close(encoder.forward_last(x, lengths), expected, rtol=1e-4, atol=1e-5)


def test_only_the_top_block_is_masked() -> None:
    encoder = build_encoder(3)
    attentions = [module for module in encoder.modules() if isinstance(module, CausalSelfAttention)]
    assert [attention.window for attention in attentions] == [None, None, 8]


def test_positions_outside_the_mask_reach_the_output_through_the_block_below() -> None:
    """The top block reads 14 of 64 positions and the dense block below reads all: no position is ignored."""
    encoder = build_encoder(2)
    x = torch.randn(1, 64, 16, requires_grad=True)
    out: Tensor = encoder.forward_last(x, torch.tensor([64]))
    (out * torch.randn(16)).sum().backward()  # a plain sum of a layer norm's output is constant
    assert x.grad is not None
    assert (x.grad.abs().sum(-1) > 0).all()


def test_cone_needs_a_block_below_its_top() -> None:
    with pytest.raises(ValueError, match=r"layers must be at least 2, .* \(got 1\)"):
        ConeEncoder(16, 64, 0.0, layers=1)
