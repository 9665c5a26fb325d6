"""The light convolution equals the paper's sum and has few weights."""

import math

import pytest
import torch
from torch import Tensor

from models.layers.light_convolution import LightConvolution

DIM, HEADS, LENGTH = 6, 2, 9


def compute_by_loops(module: LightConvolution, x: Tensor, *, causal: bool) -> Tensor:
    """Compute one sequence (T, DIM), one number at a time."""
    window = module.kernel.shape[1]
    kernel = module.kernel.softmax(-1) if module.normalised else module.kernel
    out = torch.zeros_like(x)
    for i in range(len(x)):
        for d in range(DIM):
            for j in range(1, window + 1):
                position = i + j - (window if causal else math.ceil((window + 1) / 2))
                if 0 <= position < len(x):
                    out[i, d] += kernel[d // (DIM // HEADS), j - 1] * x[position, d]
    return out


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_output_equals_the_sum_of_the_paper(window: int, causal: bool, normalised: bool) -> None:
    torch.manual_seed(window)
    module = LightConvolution(DIM, HEADS, window, causal=causal, normalised=normalised)
    x = torch.randn(2, LENGTH, DIM)
    expected = torch.stack([compute_by_loops(module, row, causal=causal) for row in x])
    torch.testing.assert_close(module(x), expected)
    at = torch.tensor([LENGTH - 1, 3])
    torch.testing.assert_close(module(x, at)[:, 0], expected[torch.arange(2), at])


@pytest.mark.parametrize(("heads", "window"), [(1, 5), (2, 3), (3, 7)])
def test_layer_has_one_weight_per_head_and_tap(heads: int, window: int) -> None:
    module = LightConvolution(DIM, heads, window, causal=True, normalised=False)
    assert sum(parameter.numel() for parameter in module.parameters()) == heads * window
