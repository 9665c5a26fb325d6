"""The two forms of LSAN's encoder: visible positions, padding, and the equality of forward_last and forward."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.encoders.twin_attention import TwinAttentionEncoder
from models.layers.block import initialize_weights

DIM, MAX_LEN = 8, 20
FORMS: list[dict[str, Any]] = [
    {"form": form, "residual": residual, "layers": layers}
    for form in ("causal", "prefix")
    for residual in (True, False)
    for layers in (1, 2)
]


def build_encoder(**options: Any) -> TwinAttentionEncoder:
    torch.manual_seed(0)
    encoder = TwinAttentionEncoder(DIM, MAX_LEN, 0.0, **options).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return encoder


def make_sequences(*lengths: int) -> tuple[Tensor, Tensor]:
    return torch.randn(len(lengths), max(lengths), DIM), torch.tensor(lengths)


def find_visible_positions(encoder: TwinAttentionEncoder, position: int, length: int) -> list[int]:
    """Find the input positions that affect the output at `position`."""
    x, lengths = make_sequences(length)
    x.requires_grad_()
    encoder(x, lengths)[0, position].pow(2).sum().backward()
    assert x.grad is not None
    return torch.nonzero(x.grad[0].abs().sum(-1) > 1e-9).flatten().tolist()


def test_causal_form_reads_only_earlier_positions() -> None:
    assert build_encoder().causal
    assert find_visible_positions(build_encoder(), 6, 12) == list(range(7))


def test_prefix_form_reads_later_positions_and_is_not_causal() -> None:
    encoder = build_encoder(form="prefix")
    assert not encoder.causal
    assert find_visible_positions(encoder, 6, 12) == list(range(12))


@pytest.mark.parametrize(("form", "expected"), [("causal", [4, 5, 6]), ("prefix", [5, 6, 7])])
def test_convolution_alone_reads_its_window(form: str, expected: list[int]) -> None:
    encoder = build_encoder(form=form, window=3)
    with torch.no_grad():
        for block in encoder.blocks:
            block.get_parameter("attention.qkv.weight").zero_()
    assert find_visible_positions(encoder, 6, 12) == expected


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_padding_does_not_affect_the_output(options: dict[str, Any]) -> None:
    encoder = build_encoder(**options)
    x, lengths = make_sequences(3, 20, 11)
    together = encoder(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_forward_last_equals_the_last_position_of_forward(options: dict[str, Any]) -> None:
    encoder = build_encoder(**options)
    x, lengths = make_sequences(1, 2, 20, 11)
    expected = encoder(x, lengths)[torch.arange(4), lengths - 1]
    torch.testing.assert_close(encoder.forward_last(x, lengths), expected, rtol=1e-4, atol=1e-5)


def test_position_vectors_affect_the_attention_but_not_the_convolution() -> None:
    encoder = build_encoder()
    x, lengths = make_sequences(12)
    with torch.no_grad():
        encoder.blocks[0].get_parameter("attention.qkv.weight").zero_()
        before = encoder(x, lengths)
        encoder.get_parameter("positions.weight").normal_()
        assert torch.equal(encoder(x, lengths), before)
        encoder.blocks[0].get_parameter("attention.qkv.weight").normal_()
        before = encoder(x, lengths)
        encoder.get_parameter("positions.weight").normal_()
        assert not torch.allclose(encoder(x, lengths), before)


def test_initial_blocks_without_residuals_preserve_the_scale_of_the_input() -> None:
    torch.manual_seed(0)
    encoder = TwinAttentionEncoder(64, MAX_LEN, 0.0, layers=2, residual=False).eval()
    encoder.apply(initialize_weights)
    encoder.reset_special()
    x, lengths = torch.randn(4, MAX_LEN, 64) * 0.02, torch.full((4,), MAX_LEN)
    assert encoder(x, lengths).std() > 0.2 * x.std()


@pytest.mark.parametrize("options", [{"form": "both"}, {"heads": 3}, {"layers": 0}, {"window": 0}])
def test_invalid_options_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TwinAttentionEncoder(DIM, MAX_LEN, 0.0, **options)
