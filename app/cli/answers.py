"""Items of an answer as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.printable import to_printable

MAX_CELL = 48
NUMBERS = ("rank", "score", "events")


def format_items(items: Sequence[Mapping[str, Any]]) -> str:
    """Format items with rank, score or events, title, categories and reasons; columns without values are left out."""
    columns = {
        "rank": [str(item.get("rank", position)) for position, item in enumerate(items, 1)],
        "item": [shorten(item["item_id"]) for item in items],
        "score": [f"{item['score']:.4g}" if "score" in item else "" for item in items],
        "events": [f"{item['events']:,}" if "events" in item else "" for item in items],
        "title": [shorten(item.get("title") or "") for item in items],
        "categories": [shorten(", ".join(item.get("categories") or [])) for item in items],
        "because": [", ".join(map(_format_reason, item.get("because") or [])) for item in items],
    }
    aligned = []
    for name, cells in columns.items():
        if any(cells):
            width = max(map(len, (name, *cells)))
            aligned.append([cell.rjust(width) if name in NUMBERS else cell.ljust(width) for cell in (name, *cells)])
    return "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))


def check_source(artifact: Path | None, url: str | None, key: str | None) -> None:
    """ValueError for options of a service next to an artifact, which would be ignored."""
    if artifact is not None and (url is not None or key is not None):
        raise ValueError("--artifact answers without a service; leave out --url and --key, or leave out --artifact")


def _format_reason(reason: Mapping[str, Any]) -> str:
    return f"{shorten(reason['item_id'])} {reason['weight']:.0%}"


def shorten(text: str) -> str:
    line = to_printable(" ".join(text.split()))
    return line if len(line) <= MAX_CELL else f"{line[: MAX_CELL - 1]}…"
