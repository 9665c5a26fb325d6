"""The files of an artifact and their bytes: arrays by their layout, text by its length, the table by a measured share.

Knows what `models/artifact.py` writes. It knows no process.
"""

from dataclasses import dataclass

from app.capacity import constants as measured
from app.capacity.shapes import ModelShape
from models.artifact import CONFIG, GOLDEN, INDEX, MANIFEST, WEIGHTS
from models.catalogue.open import ARRAYS, TABLE
from models.golden import GOLDEN_K, GOLDEN_MAX_LEN, NUM_GOLDEN_HISTORIES

COUNTS = 8  # per item: read at the load, to see that they fall
ARRAY_BYTES = COUNTS + 1 + 8 + 8 + 8 + 8 + 4
"""Per item: count, whether it has a title, ends of id, title and categories, key, index."""
CATEGORY_BYTES = 4  # per use of one
HEADER_BYTES = 110
"""Per tensor of a safetensors file: its name, type, shape and place, as JSON."""
SMALL = {CONFIG: 300, MANIFEST: 1_000}
NUMBER_BYTES = 5  # around a number of golden.json: indentation, comma, line end
SCORE_DIGITS = 9


@dataclass(frozen=True, slots=True)
class ItemText:
    """Mean bytes of an item's id and title, and mean number of its categories."""

    id_bytes: float
    title_bytes: float = 0.0
    categories: float = 0.0

    @classmethod
    def from_count(cls, items: int, title_bytes: float = 0.0, categories: float = 0.0) -> "ItemText":
        """Ids are a letter and a number below the count, written out."""
        digits, total, first = 1, 0, 0
        while first < items:
            end = min(items, 10**digits)
            total += digits * (end - first)
            first, digits = end, digits + 1
        return cls(1 + total / items, title_bytes, categories)


def compute_catalogue_bytes(items: int, text: ItemText) -> int:
    """Of the arrays of a catalogue, all of which are mapped."""
    return round(items * (ARRAY_BYTES + text.id_bytes + text.title_bytes + CATEGORY_BYTES * text.categories))


def artifact_files(shape: ModelShape, text: ItemText, *, index: bool = False) -> dict[str, int]:
    """Bytes by name of file, the largest first."""
    table = measured.PARQUET_SHARE * shape.items * (text.id_bytes + text.title_bytes)
    numbers = NUM_GOLDEN_HISTORIES * (GOLDEN_MAX_LEN + GOLDEN_K) * (len(str(shape.items)) + NUMBER_BYTES)
    found = {
        WEIGHTS: shape.weights + HEADER_BYTES * len(shape.tensors),
        ARRAYS: compute_catalogue_bytes(shape.items, text) + HEADER_BYTES * 10,
        TABLE: round(table) + measured.PARQUET_LEAST,
        GOLDEN: numbers + NUM_GOLDEN_HISTORIES * GOLDEN_K * (SCORE_DIGITS + NUMBER_BYTES),
        **SMALL,
    }
    if index:
        found[INDEX] = shape.index.file_bytes
    return dict(sorted(found.items(), key=lambda one: -one[1]))
