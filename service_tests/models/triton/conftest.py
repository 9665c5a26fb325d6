"""On a machine without a GPU Triton's interpreter runs the kernel; without Triton these tests are skipped.

The interpreter knows no threads, no shared memory and no compiler: what goes wrong there only a GPU shows.
"""

import os

import pytest
import torch

from models.triton.group_maxima import has_triton

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # here and not in a fixture: it is read when Triton is first imported


@pytest.fixture(autouse=True)
def device() -> torch.device:
    if not has_triton():
        pytest.skip("Triton is not installed")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
