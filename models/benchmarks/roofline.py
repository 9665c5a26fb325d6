"""What a device can do at best, measured, and how long some work must take by that.

Each piece of work moves at least so many bytes and needs at least so many operations; the larger of the two times is
its floor. It knows no model and prints nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch

WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """`bytes_moved` between memory and processor, every input and output once; `dtype` of what is multiplied."""

    bytes_moved: int
    operations: int
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Bytes per second of a copy, counting what is read and what is written; operations per second by type."""

    copy_rate: float
    matmul_rates: dict[torch.dtype, float]

    def compute_floor_s(self, work: DeviceWork) -> float:
        return max(self._memory_s(work), self._arithmetic_s(work))

    def bound(self, work: DeviceWork) -> Literal["memory", "arithmetic"]:
        """Which of the two takes longer."""
        return "memory" if self._memory_s(work) >= self._arithmetic_s(work) else "arithmetic"

    def figures(self) -> dict[str, float]:
        rates = {f"matmul_{_name(dtype)}_tflops": round(rate / 1e12, 3) for dtype, rate in self.matmul_rates.items()}
        return {"copy_gb_per_s": round(self.copy_rate / 1e9, 1), **rates}

    def to_text(self) -> str:
        rates = ", ".join(f"{_name(dtype)} {rate / 1e12:.2f}" for dtype, rate in self.matmul_rates.items())
        return f"copy {self.copy_rate / 1e9:,.0f} GB/s, matrix products {rates} TFLOP/s"

    def _memory_s(self, work: DeviceWork) -> float:
        return work.bytes_moved / self.copy_rate

    def _arithmetic_s(self, work: DeviceWork) -> float:
        return work.operations / self.matmul_rates[work.dtype]


def measure_ceilings(device: torch.device, *, copy_bytes: int, side: int, rounds: int) -> Ceilings:
    """By one large copy within the device, and products of square matrices as torch multiplies them by default."""
    copy_s = median_seconds(_copy(copy_bytes, device), device, rounds=rounds)
    rates = {
        dtype: 2 * side**3 / median_seconds(_product(side, dtype, device), device, rounds=rounds)
        for dtype in (torch.float32, torch.bfloat16)
    }
    return Ceilings(2 * copy_bytes / copy_s, rates)


def median_seconds(call: Callable[[], object], device: torch.device, *, rounds: int, budget_s: float = 2.0) -> float:
    """Of one call, by the clock, until the device has finished; at least one round, and no new one after `budget_s`."""
    for _ in range(WARM_UPS):
        call()
    synchronize(device)
    found: list[float] = []
    end = time.perf_counter() + budget_s
    while not found or (len(found) < rounds and time.perf_counter() < end):
        began = time.perf_counter()
        call()
        synchronize(device)
        found.append(time.perf_counter() - began)
    return median(found)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _copy(count: int, device: torch.device) -> Callable[[], object]:
    source = torch.randint(256, (count,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _product(side: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    """Of random numbers: zeros would be multiplied faster."""
    a, b = torch.randn(2, side, side, device=device).to(dtype).unbind()
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
