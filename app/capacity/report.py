"""A forecast put together, and how it is told: a table for people, figures for programs."""

from dataclasses import dataclass
from typing import Any

from app.bench.resources import ResidentMemory
from app.capacity.histories import HistoryEstimate
from app.capacity.memory import WorkerMemory
from app.capacity.rate import RateEstimate
from models.benchmarks.tables import format_text_table


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """`resident`: all processes total_for. `device` None on a CPU. `not_measured`: what nobody can tell, in words."""

    asked: dict[str, Any]
    files: dict[str, int]
    worker: WorkerMemory
    workers: int
    histories: HistoryEstimate
    device: dict[str, int] | None
    rate: RateEstimate | None
    base_is_measured: bool
    not_measured: list[str]

    @property
    def resident(self) -> ResidentMemory:
        return self.worker.total_for(self.workers)

    def figures(self) -> dict[str, Any]:
        one, all_together = self.worker.total_for(1), self.resident
        return {
            "asked": self.asked,
            "artifact": {"files": self.files, "bytes": sum(self.files.values())},
            "worker": self.worker.figures(),
            "resident": {
                "one_worker": one.total,
                "workers": self.workers,
                "own": all_together.own,
                "mapped": all_together.mapped,
                "bytes": all_together.total,
                "at_start": all_together.own + self.worker.mapped_at_start,
            },
            "base_measured": self.base_is_measured,
            "device": self.device,
            "redis": self.histories.figures(),
            "rate": self.rate.figures() if self.rate else None,
            "not_measured": self.not_measured,
        }

    def table(self) -> str:
        rows = [*self._files(), *self._memory(), *self._device(), *self._redis(), *self._rate()]
        figures = format_text_table(["", "bytes", ""], [row[:3] for row in rows]).split("\n")
        notes, width = ["", *(row[3] for row in rows)], max(map(len, figures))
        lines = [f"{line:<{width}}  {note}".rstrip() for line, note in zip(figures, notes, strict=True)]
        return "\n".join([*lines, *(f"not measured: {one}" for one in self.not_measured)])

    def _files(self) -> list[list[str]]:
        found = [_row(f"  {name}", size) for name, size in self.files.items() if size >= 100_000]
        return [_row("artifact on disk", sum(self.files.values()), "all files"), *found]

    def _memory(self) -> list[list[str]]:
        worker, base = self.worker, "measured here" if self.base_is_measured else "not measured here, kept figures"
        one, count = worker.total_for(1), self.workers
        return [
            _row("one worker, resident", one.total, "once every item was asked for"),
            _row("  its own", worker.own, "each worker has as much"),
            _row("    before a model", worker.base, f"Python, torch and the service, {base}"),
            _row("    service and model", worker.service + worker.model, "event loop, packed weights"),
            _row("    scorers keep", worker.scorers, "an int8 table, where it may"),
            _row("    heap", worker.heap, "freed, and kept by the allocator"),
            _row("  mapped, shared", worker.mapped, f"{_short(worker.mapped_at_start)} of it at the start"),
            _row("    libraries", worker.libraries),
            _row("    weights", worker.weights),
            _row("    catalogue", worker.catalogue),
            *([_row("    index", worker.index)] if worker.index else []),
            _row(f"{count} worker{'s' * (count > 1)}, resident", self.resident.total, "shared pages counted once"),
        ]

    def _device(self) -> list[list[str]]:
        if self.device is None:
            return []
        head = _row("device", sum(self.device.values()), "by shapes alone, without CUDA itself")
        return [head, *(_row(f"  {name}", size) for name, size in self.device.items())]

    def _redis(self) -> list[list[str]]:
        kept = self.histories
        return [
            _row("Redis, written at once", kept.total_loaded, f"{kept.loaded:,.0f} bytes per user"),
            _row("Redis, event by event", kept.total_grown, f"{kept.grown:,.0f} bytes per user"),
            _row("  of these its own", kept.tables + kept.alone, "tables of keys, the server"),
        ]

    def _rate(self) -> list[list[str]]:
        if self.rate is None:
            return []
        rate = self.rate
        parts = f"front {1e6 * rate.front_s:,.0f}, encoder {1e6 * rate.encode_s:,.0f}, scores {1e6 * rate.score_s:,.0f}"
        cost = f"µs of CPU each: {parts}; and {1e6 * rate.batch_s:,.0f} a batch"
        name = f"workers for {rate.rate:,.0f}/s"
        return [
            [name, f"{rate.workers:,}", "", f"if each request comes alone; {rate.least_workers:,} in full batches"],
            ["", "", "", cost],
        ]


def _row(name: str, size: int, note: str = "") -> list[str]:
    return [name, f"{size:,}", _short(size), note]


def _short(size: int) -> str:
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{size / unit:,.1f} {name}"
