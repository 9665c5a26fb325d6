"""Checks of a catalogue that was read from a file, because digests only say that it is the file that was written.

Vectorized and in chunks, so that a catalogue of ten million items takes no extra memory. Keys are recomputed from the
ids of every item in a small catalogue, and of an evenly spread sample in a large one.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.item_key import KeyIndex, hash_item_id
from models.catalogue.string_array import StringArray

Number = TypeVar("Number", bound="np.integer[Any]")

CHUNK = 1 << 20
MAX_ID_BYTES = 512
"""128 characters of at most four bytes."""
MAX_TEXT_BYTES = 1 << 20
"""Of one title or category name."""
MAX_CHECKED_KEYS = 100_000


def check_catalogue(catalogue: Catalogue) -> None:
    """ValueError names the array with an offset or index out of bounds, text that is not UTF-8, or a wrong key."""
    check_strings("item_ids", catalogue.item_ids, shortest=1, longest=MAX_ID_BYTES)
    check_strings("titles", catalogue.title_strings)
    _check_index("categories", catalogue.categories)
    _check_index("attributes", catalogue.attributes.index)
    for edges in catalogue.attributes.edges.values():
        if not np.all(np.isfinite(edges)) or np.any(edges[1:] <= edges[:-1]):
            raise ValueError("bins.edges holds edges that do not rise")
    if len(catalogue.counts) and catalogue.counts[-1] < 0:
        raise ValueError("counts holds a negative number")
    _check_bounds("untitled", catalogue.untitled.view(np.uint8), 0, 1)
    _check_keys(catalogue.keys, catalogue.item_ids)


def check_strings(name: str, strings: StringArray, *, shortest: int = 0, longest: int = MAX_TEXT_BYTES) -> None:
    """ValueError unless all strings are UTF-8, within the text, and of a length in bytes within the bounds."""
    ends, text = strings.ends, strings.text
    check_ends(f"{name}.ends", ends, len(text))
    for part, previous_end in _split(ends):
        lengths = np.diff(part, prepend=previous_end)
        if lengths.min() < shortest or lengths.max() > longest:
            raise ValueError(
                f"{name} holds a text of {lengths.min()} to {lengths.max()} bytes; from {shortest} to {longest:,} are "
                "allowed"
            )
        starts = part - lengths
        # Each text begins with a character, so all of them are UTF-8 if their concatenation is.
        first_bytes = text[starts[lengths > 0]]
        try:
            if np.any((first_bytes & 0xC0) == 0x80):
                raise ValueError
            for begin, end in _cut(previous_end, part):
                str(text[begin:end].data, "utf-8")
        except ValueError:
            raise ValueError(f"{name}.text is not UTF-8") from None


def _check_index(name: str, index: CategoryIndex) -> None:
    """ValueError unless names are unique, and every item has names among them."""
    if len(set(index.names)) < len(index.names):
        raise ValueError(f"{name}.names holds a name twice")
    check_ends(f"{name}.ends", index.ends, len(index.numbers))
    _check_bounds(f"{name}.numbers", index.numbers, 0, len(index.names) - 1)


def _cut(begin: int, ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut a text at ends of strings into parts of about CHUNK bytes."""
    while begin < ends[-1]:
        end = int(ends[min(int(np.searchsorted(ends, begin + CHUNK)), len(ends) - 1)])
        yield begin, end
        begin = end


def check_ends(name: str, ends: NDArray[np.int64], size: int) -> None:
    """ValueError unless the end offsets do not decrease and end with `size`."""
    last_end = 0
    for part, previous_end in _split(ends):
        if np.any(np.diff(part, prepend=previous_end) < 0):
            raise ValueError(f"{name} holds offsets that decrease")
        last_end = int(part[-1])
    if last_end != size:
        raise ValueError(f"{name} ends at {last_end:,} instead of {size:,}")


def _check_bounds(name: str, numbers: NDArray[np.integer], low: int, high: int) -> None:
    for part, _ in _split(numbers):
        if part.min() < low or part.max() > high:
            raise ValueError(f"{name} holds {part.min()} to {part.max()}; from {low} to {high} are allowed")


def _check_keys(index: KeyIndex, item_ids: StringArray) -> None:
    """ValueError unless the keys rise, each item has one, and it is that of its id."""
    count = len(item_ids)
    previous_key = None
    for part, _ in _split(index.keys):
        if np.any(part[1:] <= part[:-1]) or (previous_key is not None and part[0] <= previous_key):
            raise ValueError("keys holds keys that do not rise; two items have the same id")
        previous_key = part[-1]
    _check_bounds("indices", index.indices, 1, count)
    has_key = np.zeros(count + 1, dtype=np.bool_)
    has_key[index.indices] = True
    if not has_key[1:].all():
        raise ValueError(f"indices does not hold item {int(np.argmin(has_key[1:])) + 1}")
    text, ends = item_ids.text.data, item_ids.ends
    for position in np.linspace(0, count - 1, min(count, MAX_CHECKED_KEYS)).astype(np.int64).tolist():
        item = int(index.indices[position])
        start = int(ends[item - 2]) if item > 1 else 0
        expected = hash_item_id(text[start : int(ends[item - 1])])
        if int.from_bytes(expected, "little") != int(index.keys[position]):
            raise ValueError(f"keys does not hold the key of item {item}, {item_ids[item - 1]!r}")


def _split(array: NDArray[Number]) -> Iterator[tuple[NDArray[Number], int]]:
    """Yield parts of an array, each with the value before it, 0 for the first."""
    for start in range(0, len(array), CHUNK):
        yield array[start : start + CHUNK], int(array[start - 1]) if start else 0
