"""Batch shapes that batches are padded to, so that a recording made for one batch serves the next.

Powers of two in both directions, and the model's longest history: 6 × 5 buckets up to 32 histories of 200 items.
"""

from dataclasses import dataclass

MIN_LENGTH = 16
"""Items. Shorter histories are no faster on a GPU, where launches dominate."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A rectangle of `rows` histories with up to `length` items each."""

    rows: int
    length: int


def choose_bucket(rows: int, longest: int, max_len: int) -> Bucket:
    """Return the smallest bucket for `rows` histories of up to `longest` items; both at least 1."""
    return Bucket(_round_up_to_power_of_two(rows), choose_length(longest, max_len))


def choose_length(longest: int, max_len: int) -> int:
    """Return the length of the bucket; items older than the newest `max_len` are not read."""
    return min(max(MIN_LENGTH, _round_up_to_power_of_two(longest)), max_len)


def _round_up_to_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
