"""The two forms of LSAN's encoder: which positions they see, and that the last one alone is the last one of all."""

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


def encoder(**options: Any) -> TwinAttentionEncoder:
    torch.manual_seed(0)
    made = TwinAttentionEncoder(DIM, MAX_LEN, 0.0, **options).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return made


def sequences(*lengths: int) -> tuple[Tensor, Tensor]:
    return torch.randn(len(lengths), max(lengths), DIM), torch.tensor(lengths)


def seen_by(made: TwinAttentionEncoder, place: int, length: int) -> list[int]:
    """The positions whose change changes the output at `place`."""
    x, lengths = sequences(length)
    x.requires_grad_()
    made(x, lengths)[0, place].pow(2).sum().backward()
    assert x.grad is not None
    return torch.nonzero(x.grad[0].abs().sum(-1) > 1e-9).flatten().tolist()


def test_the_causal_form_sees_the_past_alone() -> None:
    assert encoder().causal
    assert seen_by(encoder(), 6, 12) == list(range(7))


def test_the_prefix_form_sees_the_future_and_says_so() -> None:
    made = encoder(form="prefix")
    assert not made.causal
    assert seen_by(made, 6, 12) == list(range(12))


@pytest.mark.parametrize(("form", "expected"), [("causal", [4, 5, 6]), ("prefix", [5, 6, 7])])
def test_the_convolution_alone_sees_its_window(form: str, expected: list[int]) -> None:
    made = encoder(form=form, window=3)
    with torch.no_grad():
        for block in made.blocks:
            block.get_parameter("attention.qkv.weight").zero_()
    assert seen_by(made, 6, 12) == expected


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_padding_behind_the_end_is_not_seen(options: dict[str, Any]) -> None:
    made = encoder(**options)
    x, lengths = sequences(3, 20, 11)
    together = made(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = made(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_the_last_position_alone_is_the_last_of_all(options: dict[str, Any]) -> None:
    made = encoder(**options)
    x, lengths = sequences(1, 2, 20, 11)
    expected = made(x, lengths)[torch.arange(4), lengths - 1]
    torch.testing.assert_close(made.forward_last(x, lengths), expected, rtol=1e-4, atol=1e-5)


def test_positions_reach_the_attention_and_not_the_convolution() -> None:
    made = encoder()
    x, lengths = sequences(12)
    with torch.no_grad():
        made.blocks[0].get_parameter("attention.qkv.weight").zero_()
        before = made(x, lengths)
        made.positions.weight.normal_()
        assert torch.equal(made(x, lengths), before)
        made.blocks[0].get_parameter("attention.qkv.weight").normal_()
        before = made(x, lengths)
        made.positions.weight.normal_()
        assert not torch.allclose(made(x, lengths), before)


def test_without_residuals_the_start_lets_the_input_through() -> None:
    torch.manual_seed(0)
    made = TwinAttentionEncoder(64, MAX_LEN, 0.0, layers=2, residual=False).eval()
    made.apply(initialize_weights)
    made.reset_special()
    x, lengths = torch.randn(4, MAX_LEN, 64) * 0.02, torch.full((4,), MAX_LEN)
    assert made(x, lengths).std() > 0.2 * x.std()


@pytest.mark.parametrize("options", [{"form": "both"}, {"heads": 3}, {"layers": 0}, {"window": 0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TwinAttentionEncoder(DIM, MAX_LEN, 0.0, **options)
