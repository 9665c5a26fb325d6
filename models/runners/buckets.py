"""The few sizes that batches are padded to, so that what was prepared for one serves the next. It computes nothing.

Powers of two in both directions, and the model's own longest history: 6 × 5 buckets up to 32 histories of 200 items.
"""

from dataclasses import dataclass

SHORTEST = 16
"""Items. Shorter histories cost a GPU no less: there the launches are what takes time."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A rectangle of `rows` histories with room for `length` items each."""

    rows: int
    length: int


def bucket_of(rows: int, longest: int, max_len: int) -> Bucket:
    """The smallest bucket with room for so many histories, of which the longest has so many items; both at least 1."""
    return Bucket(_power_of_two(rows), length_of(longest, max_len))


def length_of(longest: int, max_len: int) -> int:
    """Of the bucket; what is older than `max_len` items is not read."""
    return min(max(SHORTEST, _power_of_two(longest)), max_len)


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
