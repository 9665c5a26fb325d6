"""Runs the kernel in Triton's interpreter on a machine without a GPU; skips these tests without Triton.

The interpreter has no threads, no shared memory and no compiler: errors there show only on a GPU.
"""

import os

import pytest
import torch

from models.triton.group_maxima import has_triton

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # not in a fixture: Triton reads it on import


@pytest.fixture(autouse=True)
def device() -> torch.device:
    if not has_triton():
        pytest.skip("Triton is not installed")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
