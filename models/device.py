"""Where a model runs: a name from a person to a torch device, and what precision is worth using there."""

import torch


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA where there is one; asking for CUDA where there is none is an error, not a slow surprise."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch finds no usable NVIDIA GPU")
    return device


def training_dtype(device: torch.device) -> torch.dtype:
    """bf16 where it is faster. On CPUs without AMX it is 1.5 to 2 times slower than float32 (models/LOG.md)."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32
