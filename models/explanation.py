"""The history items that an answered item rests on. Does not load torch; models/removal.py computes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A history item (catalogue index), its share of all weights, and by how much the score falls without it."""

    item: int
    weight: float
    drop: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item was answered: a few items of the history, the most important first; empty if none raises its score.

    `nearest` is the history item whose vector has the largest cosine with the item's, and `similarity` that cosine.
    """

    reasons: tuple[Reason, ...]
    nearest: int
    similarity: float
