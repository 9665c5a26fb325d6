"""What a model and its users take: bytes on disk, bytes of a serving process, bytes per item and per history.

Knows figures and how they are told; what is started for them is in `app/commands/bench_memory.py`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.bench.resources import ProcessMemory, ResidentMemory
from models.benchmarks.tables import format_megabytes, format_number, format_text_table, round_optional


@dataclass(frozen=True, slots=True)
class Footprint:
    """`before` and `loaded`: the serving process with all it imports, and with the artifact loaded and warm.

    `used`: after some hundred batches, with every page read. `planned` and `planned_disk_bytes`: what `nextup plan`
    says of the same.
    """

    preset: str
    items: int
    disk_bytes: int
    before: ProcessMemory | None
    loaded: ProcessMemory | None
    load_s: float
    used: ResidentMemory | None = None
    planned: ResidentMemory | None = None
    planned_disk_bytes: int | None = None

    @property
    def ratio(self) -> float | None:
        """Memory measured by memory planned."""
        return self.used.total / self.planned.total if self.used and self.planned else None

    @property
    def disk_ratio(self) -> float | None:
        return self.disk_bytes / self.planned_disk_bytes if self.planned_disk_bytes else None

    @property
    def per_item(self) -> float | None:
        """Bytes of memory per item that the artifact adds."""
        return None if self.before is None or self.loaded is None else (self.loaded.pss - self.before.pss) / self.items

    def figures(self) -> dict[str, Any]:
        return {
            "preset": self.preset,
            "items": self.items,
            "disk_bytes": self.disk_bytes,
            "before": asdict(self.before) if self.before else None,
            "loaded": asdict(self.loaded) if self.loaded else None,
            "bytes_per_item": round_optional(self.per_item, 1),
            "disk_bytes_per_item": round(self.disk_bytes / self.items, 1),
            "load_s": round(self.load_s, 2),
            "used": asdict(self.used) if self.used else None,
            "planned": asdict(self.planned) if self.planned else None,
            "ratio": round_optional(self.ratio, 3),
            "planned_disk_bytes": self.planned_disk_bytes,
            "disk_ratio": round_optional(self.disk_ratio, 3),
        }


@dataclass(frozen=True, slots=True)
class HistoryFootprint:
    """Of a store filled with users of `events` each. Bytes are what Redis uses more than when it was empty."""

    users: int
    events: int
    bytes: int
    planned_bytes: int | None = None

    @property
    def per_user(self) -> float:
        return self.bytes / self.users

    @property
    def ratio(self) -> float | None:
        return self.bytes / self.planned_bytes if self.planned_bytes else None

    def figures(self) -> dict[str, Any]:
        return {**asdict(self), "bytes_per_user": round(self.per_user, 1), "ratio": round_optional(self.ratio, 3)}


def format_footprints(rows: Sequence[Footprint]) -> str:
    head = ["preset", "items", "disk MB", "before MB", "loaded MB", "bytes/item", "disk bytes/item", "load s"]
    return format_text_table(head, [_row(one) for one in rows])


def _row(one: Footprint) -> list[str]:
    return [
        one.preset,
        f"{one.items:,}",
        format_number(one.disk_bytes / 1e6),
        format_megabytes(one.before.pss if one.before else None),
        format_megabytes(one.loaded.pss if one.loaded else None),
        format_number(one.per_item),
        format_number(one.disk_bytes / one.items),
        format_number(one.load_s, 2),
    ]


def format_histories(rows: Sequence[HistoryFootprint]) -> str:
    head = ["events per user", "users", "bytes/user", "ratio"]
    return format_text_table(
        head,
        [
            [f"{one.events:,}", f"{one.users:,}", format_number(one.per_user, 0), format_number(one.ratio, 2)]
            for one in rows
        ],
    )


def format_planned(rows: Sequence[Footprint]) -> str:
    """What was planned, what was measured, and measured by planned."""
    head = [
        "",
        "items",
        "disk MB",
        "planned",
        "ratio",
        "own MB",
        "planned",
        "mapped MB",
        "planned",
        "together",
        "ratio",
    ]
    return format_text_table(head, [_planned_row(one) for one in rows])


def _planned_row(one: Footprint) -> list[str]:
    used, planned = one.used, one.planned
    return [
        one.preset,
        f"{one.items:,}",
        format_number(one.disk_bytes / 1e6),
        format_number(one.planned_disk_bytes / 1e6 if one.planned_disk_bytes else None),
        format_number(one.disk_ratio, 3),
        format_megabytes(used.own if used else None),
        format_megabytes(planned.own if planned else None),
        format_megabytes(used.mapped if used else None),
        format_megabytes(planned.mapped if planned else None),
        format_megabytes(used.total if used else None),
        format_number(one.ratio, 3),
    ]
