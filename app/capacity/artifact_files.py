"""Sizes of the files of an artifact: arrays by layout, text by length, the Parquet table by a measured ratio."""

from dataclasses import dataclass
from typing import Self

from app.capacity import constants
from app.capacity.shapes import ModelShape
from models.artifact import CONFIG, GOLDEN, INDEX, WEIGHTS
from models.catalogue.files import ARRAYS, TABLE
from models.golden import GOLDEN_K, GOLDEN_MAX_LEN, NUM_GOLDEN_HISTORIES
from models.manifest import MANIFEST

COUNT_BYTES = 8  # per item; read on load to check that counts are in descending order
ARRAY_BYTES = COUNT_BYTES + 1 + 8 + 8 + 8 + 8 + 4
"""Per item: count, title flag, end offsets of id, title and categories, key, index."""
CATEGORY_BYTES = 4  # per category of an item
FEATURE_BYTES, FEATURE_END_BYTES = 4, 8  # per attribute of an item; per item if items have attributes
HEADER_BYTES = 110
"""Per tensor of a safetensors file: name, type, shape and offsets as JSON."""
CATALOGUE_TENSORS = 10
SMALL_FILES = {CONFIG: 300, MANIFEST: 1_000}
NUMBER_BYTES = 5  # around each number in golden.json: indentation, comma, newline
SCORE_DIGITS = 9


@dataclass(frozen=True, slots=True)
class ItemText:
    """Mean bytes of item ids and titles, and mean number of categories and attributes per item."""

    id_bytes: float
    title_bytes: float = 0.0
    categories: float = 0.0
    attributes: float = 0.0

    @classmethod
    def from_count(cls, items: int, title_bytes: float = 0.0, categories: float = 0.0, attributes: float = 0.0) -> Self:
        """Assume ids of one letter and a decimal number below `items`."""
        digits, total, start = 1, 0, 0
        while start < items:
            stop = min(items, 10**digits)
            total += digits * (stop - start)
            start, digits = stop, digits + 1
        return cls(1 + total / items, title_bytes, categories, attributes)


def compute_catalogue_bytes(items: int, text: ItemText) -> int:
    """Compute the size of the catalogue's arrays, all of which are memory-mapped."""
    features = FEATURE_END_BYTES + FEATURE_BYTES * text.attributes if text.attributes else 0
    return round(items * (ARRAY_BYTES + text.id_bytes + text.title_bytes + CATEGORY_BYTES * text.categories + features))


def estimate_artifact_files(shape: ModelShape, text: ItemText, *, index: bool = False) -> dict[str, int]:
    """Estimate bytes by file name, largest first."""
    row = constants.PARQUET_RATIO * (text.id_bytes + text.title_bytes)
    table = shape.items * (row + constants.PARQUET_FEATURE_BYTES * text.attributes)
    numbers = NUM_GOLDEN_HISTORIES * (GOLDEN_MAX_LEN + GOLDEN_K) * (len(str(shape.items)) + NUMBER_BYTES)
    sizes = {
        WEIGHTS: shape.weights + HEADER_BYTES * len(shape.tensors),
        ARRAYS: compute_catalogue_bytes(shape.items, text) + HEADER_BYTES * CATALOGUE_TENSORS,
        TABLE: round(table) + constants.PARQUET_MIN_BYTES,
        GOLDEN: numbers + NUM_GOLDEN_HISTORIES * GOLDEN_K * (SCORE_DIGITS + NUMBER_BYTES),
        **SMALL_FILES,
    }
    if index:
        sizes[INDEX] = shape.index.file_bytes
    return dict(sorted(sizes.items(), key=lambda file: -file[1]))
