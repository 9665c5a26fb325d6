"""The roofline of a device: its measured ceilings, and the least time that some work takes by them.

Work moves at least so many bytes and needs at least so many operations; the larger of the two times is its floor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from models.benchmarks.timing import measure_median_seconds

WARM_UPS = 2
BUDGET_S = 2.0


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """`bytes_moved` between memory and processor, every input and output once; `dtype` of the factors."""

    bytes_moved: int
    operations: int
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Bytes per second of a copy, reads and writes together; matrix-product operations per second by type."""

    copy_rate: float
    matmul_rates: dict[torch.dtype, float]

    def compute_floor_s(self, work: DeviceWork) -> float:
        return max(self._compute_memory_s(work), self._compute_arithmetic_s(work))

    def find_bound(self, work: DeviceWork) -> Literal["memory", "arithmetic"]:
        """Return which of the two takes longer."""
        return "memory" if self._compute_memory_s(work) >= self._compute_arithmetic_s(work) else "arithmetic"

    def to_dict(self) -> dict[str, float]:
        rates = {
            f"matmul_{_format_dtype(dtype)}_tflops": round(rate / 1e12, 3) for dtype, rate in self.matmul_rates.items()
        }
        return {"copy_gb_per_s": round(self.copy_rate / 1e9, 1), **rates}

    def to_text(self) -> str:
        rates = ", ".join(f"{_format_dtype(dtype)} {rate / 1e12:.2f}" for dtype, rate in self.matmul_rates.items())
        return f"copy {self.copy_rate / 1e9:,.0f} GB/s, matrix products {rates} TFLOP/s"

    def _compute_memory_s(self, work: DeviceWork) -> float:
        return work.bytes_moved / self.copy_rate

    def _compute_arithmetic_s(self, work: DeviceWork) -> float:
        return work.operations / self.matmul_rates[work.dtype]


def measure_ceilings(device: torch.device, *, copy_bytes: int, side: int, rounds: int) -> Ceilings:
    """Measure one large copy within the device, and products of square matrices with torch's defaults."""
    copy_s = measure_device_seconds(_make_copy(copy_bytes, device), device, rounds=rounds)
    rates = {
        dtype: 2 * side**3 / measure_device_seconds(_make_product(side, dtype, device), device, rounds=rounds)
        for dtype in (torch.float32, torch.bfloat16)
    }
    return Ceilings(2 * copy_bytes / copy_s, rates)


def measure_device_seconds(
    call: Callable[[], object], device: torch.device, *, rounds: int, budget_s: float = BUDGET_S
) -> float:
    """Measure the median wall time of one call until the device has finished it."""
    return measure_median_seconds(
        call, rounds=rounds, warm_ups=WARM_UPS, synchronize=partial(synchronize, device), budget_s=budget_s
    )


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _make_copy(count: int, device: torch.device) -> Callable[[], object]:
    source = torch.randint(256, (count,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _make_product(side: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    """Multiply random matrices: zeros would be faster."""
    a, b = torch.randn(2, side, side, device=device).to(dtype).unbind()
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _format_dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
