"""Items that were shown to a user lately, which a rule puts behind the others by a penalty on their scores."""

import numpy as np
from numpy.typing import NDArray

from app.inference.live.mask_cache import Mask
from app.inference.rules.item_rules import ItemRules
from models.catalogue.item_key import KeyIndex

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]


class ShownItems:
    """The shown items of one ranking, `indices` (S,) without zeros, in a catalogue of `num_items`."""

    def __init__(self, indices: Indices, penalty: float, num_items: int) -> None:
        self.indices = indices
        self.penalty = penalty
        self._num_items = num_items

    def lower(self, items: Indices, scores: Scores) -> Scores:
        """Subtract the penalty from the scores of shown items, which are logits."""
        lowered: Scores = scores - self.penalty * np.isin(items, self.indices)
        return lowered

    def exclude_from(self, excluded: Indices) -> Indices:
        """Add the shown items to excluded ones."""
        return np.concatenate((excluded, self.indices))

    def restrict(self, mask: Mask | None) -> Mask:
        """(num_items + 1,) the shown items that a mask allows."""
        restricted = np.zeros(self._num_items + 1, dtype=bool)
        restricted[self.indices] = True if mask is None else mask[self.indices]
        return restricted


def find_shown(rules: ItemRules, keys: KeyIndex, num_items: int) -> ShownItems | None:
    """Find the shown items of a query in a catalogue; None if it has none of them."""
    if not rules.shown or not rules.penalty:
        return None
    indices = keys.find_indices(np.frombuffer(rules.shown, dtype="<u8"))
    indices = indices[indices > 0]
    return ShownItems(indices, rules.penalty, num_items) if len(indices) else None
