"""Memory of the live catalogue: a row per item in the columns of each process, and a record per item in Redis.

Columns and their widths are those of app/inference/live, keys those of app/stores/live_items.lua; all items are planned
with the same number of attributes. An attribute counts as a number, of 8 bytes per item; a text takes 4, and its
distinct values once. Not included: records with categories, new items, removed items, writes of the follower.
"""

from dataclasses import asdict, dataclass

from app.capacity.artifact_files import ItemText
from app.capacity.histories import ALLOCATORS, ENTRY_OVERHEAD, POINTER_BYTES, Allocator, compute_text_bytes

ROW_BYTES = 20 + 1 + 8 + 8 + 4
"""Per item: key and sorted keys with rows, availability, position of the change, end of the id, categories."""
VIEW_BYTES = 4 + 4
"""Per item: its row, and its index in the version that serves."""
NUMBER_BYTES = 8
LEVEL_SHARES = (0.75, 0.1875, 0.0469, 0.0156)
"""Shares of the nodes of a sorted set with one level, two, three, and more."""
NODE_BYTES, LEVEL_BYTES = 24, 16
EMPTY_RECORD = len('{"attributes":{}}')
TITLE_BYTES = len('"title":"",')


@dataclass(frozen=True, slots=True)
class LiveEstimate:
    """Bytes in each process that follows the live catalogue, and in Redis."""

    items: int = 0
    process: int = 0
    redis: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def estimate_live_catalogue(
    items: int, text: ItemText, *, attribute_bytes: float, allocator: Allocator = "server"
) -> LiveEstimate:
    """Estimate the memory of `items` records whose attributes take `attribute_bytes` each, name and value in JSON."""
    if not items:
        return LiveEstimate()
    allocate = ALLOCATORS[allocator]
    process = items * (ROW_BYTES + text.id_bytes + NUMBER_BYTES * text.attributes + VIEW_BYTES)
    record = compute_record_bytes(text, attribute_bytes)
    nodes = sum(
        share * allocate(NODE_BYTES + LEVEL_BYTES * levels) for levels, share in enumerate(LEVEL_SHARES, start=1)
    )
    entries = 2 * allocate(ENTRY_OVERHEAD)  # of the records by item, and of the changes by item
    strings = 2 * compute_text_bytes(text.id_bytes, allocate) + compute_text_bytes(record, allocate)
    tables = 2 * POINTER_BYTES * (1 << (items - 1).bit_length())
    return LiveEstimate(items, round(process), round(items * (nodes + entries + strings)) + tables)


def compute_record_bytes(text: ItemText, attribute_bytes: float) -> float:
    """Compute the size of the JSON of a record."""
    size = EMPTY_RECORD + text.attributes * (attribute_bytes + 1)
    return size + TITLE_BYTES + text.title_bytes if text.title_bytes else size
