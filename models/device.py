"""Device selection, and the precision to train with on each device."""

import torch


def choose_device(name: str) -> torch.device:
    """Resolve a device name; `auto` is CUDA if available. ValueError for `cuda` without a usable GPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda is not available: torch finds no usable NVIDIA GPU")
    return device


def select_training_dtype(device: torch.device) -> torch.dtype:
    """bf16 on GPUs that support it. On CPUs without AMX it is 1.5 to 2 times slower than float32 (models/LOG.md)."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32
