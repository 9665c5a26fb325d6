"""Memory and disk footprint of models and histories: measurements, comparison with the capacity plan, tables.

`app/commands/bench_memory.py` runs the measurements.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.bench.resources import ProcessMemory, ResidentMemory
from models.text_table import format_megabytes, format_number, format_text_table, round_optional


@dataclass(frozen=True, slots=True)
class Footprint:
    """One artifact: `before` is the process with all imports, `loaded` with the artifact loaded.

    `used`: after some hundred batches, with every page read. `planned` and `planned_disk_bytes`: estimates of
    `nextup plan`.
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
        """Measured by planned memory."""
        return self.used.total / self.planned.total if self.used and self.planned else None

    @property
    def disk_ratio(self) -> float | None:
        return self.disk_bytes / self.planned_disk_bytes if self.planned_disk_bytes else None

    @property
    def per_item(self) -> float | None:
        """Bytes of memory per item that the artifact adds."""
        return None if self.before is None or self.loaded is None else (self.loaded.pss - self.before.pss) / self.items

    def to_dict(self) -> dict[str, Any]:
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
    """A store with users of `events` events each; `bytes` is the increase in Redis memory over an empty store."""

    users: int
    events: int
    bytes: int
    planned_bytes: int | None = None
    event_ids: bool = False

    @property
    def per_user(self) -> float:
        return self.bytes / self.users

    @property
    def ratio(self) -> float | None:
        return self.bytes / self.planned_bytes if self.planned_bytes else None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bytes_per_user": round(self.per_user, 1), "ratio": round_optional(self.ratio, 3)}


def format_footprints(footprints: Sequence[Footprint]) -> str:
    head = ["preset", "items", "disk MB", "before MB", "loaded MB", "bytes/item", "disk bytes/item", "load s"]
    rows = [
        [
            footprint.preset,
            f"{footprint.items:,}",
            format_number(footprint.disk_bytes / 1e6),
            format_megabytes(footprint.before.pss if footprint.before else None),
            format_megabytes(footprint.loaded.pss if footprint.loaded else None),
            format_number(footprint.per_item),
            format_number(footprint.disk_bytes / footprint.items),
            format_number(footprint.load_s, 2),
        ]
        for footprint in footprints
    ]
    return format_text_table(head, rows)


def format_histories(footprints: Sequence[HistoryFootprint]) -> str:
    head = ["events per user", "event ids", "users", "bytes/user", "ratio"]
    rows = [
        [
            f"{footprint.events:,}",
            "yes" if footprint.event_ids else "no",
            f"{footprint.users:,}",
            format_number(footprint.per_user, 0),
            format_number(footprint.ratio, 2),
        ]
        for footprint in footprints
    ]
    return format_text_table(head, rows)


def format_planned(footprints: Sequence[Footprint]) -> str:
    """Format measured next to planned sizes, and measured by planned."""
    head = ["", "items", "disk MB", "planned", "ratio"]
    head += ["own MB", "planned", "mapped MB", "planned", "together", "ratio"]
    return format_text_table(head, [_make_planned_row(footprint) for footprint in footprints])


def _make_planned_row(footprint: Footprint) -> list[str]:
    used, planned, planned_disk_bytes = footprint.used, footprint.planned, footprint.planned_disk_bytes
    return [
        footprint.preset,
        f"{footprint.items:,}",
        format_number(footprint.disk_bytes / 1e6),
        format_number(planned_disk_bytes / 1e6 if planned_disk_bytes else None),
        format_number(footprint.disk_ratio, 3),
        format_megabytes(used.own if used else None),
        format_megabytes(planned.own if planned else None),
        format_megabytes(used.mapped if used else None),
        format_megabytes(planned.mapped if planned else None),
        format_megabytes(used.total if used else None),
        format_number(footprint.ratio, 3),
    ]
