"""The capacity plan: a text table and a JSON object of all estimates."""

from dataclasses import dataclass
from typing import Any

from app.bench.resources import ResidentMemory
from app.capacity.histories import HistoryEstimate
from app.capacity.live_catalogue import LiveEstimate
from app.capacity.memory import WorkerMemory
from app.capacity.rate import RateEstimate
from models.text_table import format_text_table

MIN_LISTED_BYTES = 100_000

Row = list[str]


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """All estimates for one configuration; `device` is None on a CPU.

    `resident` is the memory of all processes together. `not_measured` lists, in words, quantities without estimates.
    """

    inputs: dict[str, Any]
    files: dict[str, int]
    worker: WorkerMemory
    workers: int
    histories: HistoryEstimate
    live: LiveEstimate
    device: dict[str, int] | None
    rate: RateEstimate | None
    base_is_measured: bool
    not_measured: list[str]

    @property
    def resident(self) -> ResidentMemory:
        return self.worker.total_for(self.workers)

    def to_dict(self) -> dict[str, Any]:
        one_worker, all_workers = self.worker.total_for(1), self.resident
        return {
            "asked": self.inputs,
            "artifact": {"files": self.files, "bytes": sum(self.files.values())},
            "worker": self.worker.to_dict(),
            "resident": {
                "one_worker": one_worker.total,
                "workers": self.workers,
                "own": all_workers.own,
                "mapped": all_workers.mapped,
                "bytes": all_workers.total,
                "at_start": all_workers.own + self.worker.mapped_at_start,
            },
            "base_measured": self.base_is_measured,
            "device": self.device,
            "redis": self.histories.to_dict(),
            "live_catalogue": self.live.to_dict(),
            "rate": self.rate.to_dict() if self.rate else None,
            "not_measured": self.not_measured,
        }

    def format_table(self) -> str:
        rows = [
            *self._list_files(),
            *self._list_memory(),
            *self._list_device(),
            *self._list_redis(),
            *self._list_rate(),
        ]
        lines = format_text_table(["", "bytes", ""], [row[:3] for row in rows]).split("\n")
        notes, width = ["", *(row[3] for row in rows)], max(map(len, lines))
        annotated = [f"{line:<{width}}  {note}".rstrip() for line, note in zip(lines, notes, strict=True)]
        return "\n".join([*annotated, *(f"not measured: {quantity}" for quantity in self.not_measured)])

    def _list_files(self) -> list[Row]:
        large = [_make_row(f"  {name}", size) for name, size in self.files.items() if size >= MIN_LISTED_BYTES]
        return [_make_row("artifact on disk", sum(self.files.values()), "all files"), *large]

    def _list_memory(self) -> list[Row]:
        worker, count = self.worker, self.workers
        source = "measured on this machine" if self.base_is_measured else "not measurable here, recorded value"
        return [
            _make_row("one worker, resident", worker.total_for(1).total, "after every item was requested"),
            _make_row("  private", worker.own, "per worker"),
            _make_row("    imports", worker.base, f"Python, torch and the service, {source}"),
            _make_row("    service and model", worker.service + worker.model, "event loop, packed weights"),
            _make_row("    scorer tables", worker.scorers, "an int8 table, if allowed"),
            _make_row("    heap", worker.heap, "freed memory that the allocator retains"),
            *([_make_row("    live catalogue", worker.live, "its columns")] if worker.live else []),
            _make_row("  mapped, shared", worker.mapped, f"{_format_size(worker.mapped_at_start)} of it at startup"),
            _make_row("    libraries", worker.libraries),
            _make_row("    weights", worker.weights),
            _make_row("    catalogue", worker.catalogue),
            *([_make_row("    index", worker.index)] if worker.index else []),
            _make_row(f"{count} worker{'s' * (count > 1)}, resident", self.resident.total, "shared pages counted once"),
        ]

    def _list_device(self) -> list[Row]:
        if self.device is None:
            return []
        head = _make_row("device", sum(self.device.values()), "from shapes only, without CUDA itself")
        return [head, *(_make_row(f"  {name}", size) for name, size in self.device.items())]

    def _list_redis(self) -> list[Row]:
        histories = self.histories
        overhead = histories.tables + histories.without_users
        return [
            _make_row("Redis, bulk-loaded", histories.total_loaded, f"{histories.loaded:,.0f} bytes per user"),
            _make_row("Redis, event by event", histories.total_grown, f"{histories.grown:,.0f} bytes per user"),
            _make_row("  overhead in both", overhead, "hash tables of keys, the server"),
            *([_make_row("Redis, live catalogue", self.live.redis, "in addition")] if self.live.redis else []),
        ]

    def _list_rate(self) -> list[Row]:
        if self.rate is None:
            return []
        rate = self.rate
        parts = f"front {1e6 * rate.front_s:,.0f}, encoder {1e6 * rate.encode_s:,.0f}, scores {1e6 * rate.score_s:,.0f}"
        cost = f"CPU µs per request: {parts}; plus {1e6 * rate.batch_s:,.0f} per batch"
        name = f"workers for {rate.rate:,.0f}/s"
        return [
            [name, f"{rate.workers:,}", "", f"without batching; {rate.least_workers:,} with full batches"],
            ["", "", "", cost],
        ]


def _make_row(name: str, size: int, note: str = "") -> Row:
    return [name, f"{size:,}", _format_size(size), note]


def _format_size(size: int) -> str:
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{size / unit:,.1f} {name}"
