"""The fast forms of layers compute the same functions."""

import pytest
import torch

from models.layers.dropout import Dropout
from models.layers.fast_forms import use_fast_forms
from models.layers.positional import RotaryPositions


def test_complex_rotation_equals_the_plain_one() -> None:
    torch.manual_seed(0)
    plain, fast = RotaryPositions(8, 50), RotaryPositions(8, 50)
    use_fast_forms(fast)
    x = torch.randn(3, 40, 6 * 8).unflatten(-1, (-1, 8)).transpose(1, 2).chunk(3, dim=1)[1]
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    results = [layer(part) for layer, part in zip((plain, fast), inputs, strict=True)]
    torch.testing.assert_close(*results)
    for result in results:
        result.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    at = torch.tensor([[3], [0], [49]])
    torch.testing.assert_close(plain(x[:, :, :1], at), fast(x[:, :, :1], at))


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5])
def test_byte_dropout_drops_the_rate_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    layer = Dropout(rate)
    use_fast_forms(layer)
    x = torch.ones(501, 401, requires_grad=True)
    y = layer(x)
    assert (y == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert y.mean().item() == pytest.approx(1.0, abs=0.02)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach()), "the gradient has the mask of the forward pass"
    assert not torch.equal(layer(x), y), "every call draws another mask"
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first), "the seed decides"


def test_byte_dropout_is_off_in_evaluation_and_at_rate_zero() -> None:
    x = torch.randn(9, 9)
    for layer in (Dropout(0.5).eval(), Dropout(0.0)):
        use_fast_forms(layer)
        assert torch.equal(layer(x), x)


def test_default_dropout_is_that_of_torch() -> None:
    x = torch.randn(64, 64)
    torch.manual_seed(0)
    default = Dropout(0.3)(x)
    torch.manual_seed(0)
    assert torch.equal(default, torch.nn.Dropout(0.3)(x))
