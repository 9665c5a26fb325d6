"""Items of an answer as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_CELL = 48
NUMBERS = ("rank", "score", "events")


def format_items(items: Sequence[Mapping[str, Any]]) -> str:
    """Format items with rank, score or events, title and categories; columns without values are left out."""
    columns = {
        "rank": [str(item.get("rank", position)) for position, item in enumerate(items, 1)],
        "item": [shorten(item["item_id"]) for item in items],
        "score": [f"{item['score']:.4g}" if "score" in item else "" for item in items],
        "events": [f"{item['events']:,}" if "events" in item else "" for item in items],
        "title": [shorten(item.get("title") or "") for item in items],
        "categories": [shorten(", ".join(item.get("categories") or [])) for item in items],
    }
    aligned = []
    for name, cells in columns.items():
        if any(cells):
            width = max(map(len, (name, *cells)))
            aligned.append([cell.rjust(width) if name in NUMBERS else cell.ljust(width) for cell in (name, *cells)])
    return "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))


def shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CELL else f"{line[: MAX_CELL - 1]}…"
