"""The dilated encoder against torch's own convolution, and its parameter counts against the paper's formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.encoders.dilated_convolution import DilatedConvolutionEncoder

DIM = 6


def randomize(encoder: DilatedConvolutionEncoder, seed: int = 0) -> DilatedConvolutionEncoder:
    """Randomize all parameters, so that positions before the first item are zero only if every layer masks them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return encoder.eval()


@pytest.mark.parametrize(
    ("blocks", "scheme", "expected"),
    [
        (4, "original", 6_303_744),
        (4, "adjacent_layer", 3_155_968),
        (4, "adjacent_block", 3_155_968),
        (4, "cross_block", 1_582_080),
        (4, "cross_layer", 795_136),
        (8, "original", 12_607_488),
        (8, "adjacent_layer", 6_311_936),
        (8, "adjacent_block", 6_311_936),
        (8, "cross_block", 1_590_272),
        (8, "cross_layer", 803_328),
        (16, "original", 25_214_976),
        (16, "adjacent_layer", 12_623_872),
        (16, "adjacent_block", 12_623_872),
        (16, "cross_block", 1_606_656),
        (16, "cross_layer", 819_712),
    ],
)
def test_parameter_count_with_512_channels(blocks: int, scheme: str, expected: int) -> None:
    """Each distinct convolution has 3 · 512² + 512 weights, each norm 2 · 512."""
    with torch.device("meta"):
        encoder = DilatedConvolutionEncoder(512, 20, 0.0, dilations=[1, 4] * (blocks // 2), sharing=scheme)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == expected


def compute_with_torch_convolutions(encoder: DilatedConvolutionEncoder, x: Tensor, dilations: list[int]) -> Tensor:
    for block, base in enumerate(dilations):
        branch = x
        for offset, dilation in enumerate((base, 2 * base)):
            layer = 2 * block + offset
            taps = encoder.convolutions[encoder.sets[layer]].get_submodule("taps")
            weight, bias = taps.get_parameter("weight"), taps.get_parameter("bias")
            kernel = weight.view(DIM, -1, DIM).transpose(1, 2)  # (out, in, tap)
            past = (kernel.shape[-1] - 1) * dilation
            channels_first = F.pad(branch.transpose(1, 2), (past, 0))
            convolved = F.conv1d(channels_first, kernel, bias, dilation=dilation).transpose(1, 2)
            norm = encoder.norms[layer]
            branch = F.layer_norm(
                convolved, (DIM,), norm.get_parameter("weight"), norm.get_parameter("bias"), eps=1e-8
            ).relu()
        x = x + branch
    return x


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("scheme", ["original", "cross_layer", "cross_block", "adjacent_layer", "adjacent_block"])
def test_encoder_equals_torch_convolutions(scheme: str, kernel: int) -> None:
    dilations = [1, 4, 2]
    encoder = randomize(DilatedConvolutionEncoder(DIM, 30, 0.0, dilations=dilations, kernel=kernel, sharing=scheme))
    x = torch.randn(3, 30, DIM, generator=torch.Generator().manual_seed(1))
    expected = compute_with_torch_convolutions(encoder, x, dilations)
    torch.testing.assert_close(encoder(x, torch.tensor([30, 30, 30])), expected, rtol=1e-4, atol=1e-4)


def test_last_position_depends_only_on_its_receptive_field() -> None:
    encoder = randomize(DilatedConvolutionEncoder(32, 100, 0.0))
    assert encoder.receptive_field == 61
    x = torch.randn(1, 100, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    encoder(x, torch.tensor([100]))[:, -1].square().sum().backward()
    assert x.grad is not None
    positions = torch.nonzero(x.grad[0].any(dim=-1)).flatten()
    assert positions[0] == 100 - 61


def test_forward_last_equals_forward_around_the_length_of_the_receptive_field() -> None:
    encoder = randomize(DilatedConvolutionEncoder(DIM, 100, 0.0))
    lengths = torch.tensor([1, 2, 17, 59, 60, 61, 62, 63, 99, 100])
    x = torch.randn(len(lengths), 100, DIM, generator=torch.Generator().manual_seed(3))
    outputs = encoder(x, lengths)
    expected = outputs[torch.arange(len(lengths)), lengths - 1]
    torch.testing.assert_close(encoder.forward_last(x, lengths), expected, rtol=1e-4, atol=1e-4)


def test_invalid_dilations_and_kernels_are_rejected() -> None:
    for dilations, kernel in (([], 3), ([1, 0], 3), ([1, 4], 1)):
        with pytest.raises(ValueError, match="dilations must be at least 1 and kernel at least 2"):
            DilatedConvolutionEncoder(DIM, 20, 0.0, dilations=dilations, kernel=kernel)
