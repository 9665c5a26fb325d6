"""The cone: the answer needs few positions below, and they are the right ones."""

import pytest
import torch
from torch import Tensor

from models.encoders.cone import ConeEncoder, compute_short_term_positions
from models.layers.attention import CausalSelfAttention
from models.layers.sparse_attention import build_short_term_mask


@pytest.mark.parametrize("window", [1, 3, 8, 16])
@pytest.mark.parametrize("length", [1, 2, 9, 17, 64, 200])
def test_the_places_are_those_of_the_mask(length: int, window: int) -> None:
    last = torch.arange(length)
    places, seen = compute_short_term_positions(last, length, window)
    mask = build_short_term_mask(last, length, window)
    for row in range(length):
        needed = places[row][seen[row, 0]].tolist()
        assert needed[0] == row
        assert sorted(needed) == torch.nonzero(mask[row]).flatten().tolist()


@pytest.mark.parametrize(("length", "count"), [(50, 12), (200, 14), (1024, 16), (8192, 19)])
def test_a_long_history_needs_few_positions(length: int, count: int) -> None:
    places, _ = compute_short_term_positions(torch.tensor([length - 1]), length, 8)
    assert places.shape[1] == count


def encoder_of(layers: int) -> ConeEncoder:
    torch.manual_seed(0)
    encoder = ConeEncoder(16, 64, 0.0, layers=layers).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return encoder


@pytest.mark.parametrize("layers", [2, 3])
def test_the_last_position_from_few_is_that_from_all(layers: int) -> None:
    encoder, lengths = encoder_of(layers), torch.arange(1, 65)
    x = torch.randn(64, 64, 16)
    expected = encoder(x, lengths)[torch.arange(64), lengths - 1]
    torch.testing.assert_close(encoder.forward_last(x, lengths), expected, rtol=1e-4, atol=1e-5)


def test_only_the_top_looks_through_the_mask() -> None:
    encoder = encoder_of(3)
    attentions = [module for module in encoder.modules() if isinstance(module, CausalSelfAttention)]
    assert [attention.window for attention in attentions] == [None, None, 8]


def test_positions_outside_the_cone_matter_through_the_block_below() -> None:
    """The top sees 14 of 64, the dense block below sees all: nothing of a history is lost."""
    encoder = encoder_of(2)
    x = torch.randn(1, 64, 16, requires_grad=True)
    out: Tensor = encoder.forward_last(x, torch.tensor([64]))
    out.sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(-1) > 0).all()


def test_a_cone_has_a_block_below_its_top() -> None:
    with pytest.raises(ValueError, match="at least one block below it, not 1 layers"):
        ConeEncoder(16, 64, 0.0, layers=1)
