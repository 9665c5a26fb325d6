"""The answer to a batch of histories."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scorers.filter import Indices


@dataclass(frozen=True, slots=True)
class RankedItems:
    """`indices` (B, k), 0 past the last eligible item, and `scores` (B, k), descending, −inf there.

    `encode_s` and `score_s`: seconds of the two stages. `padding_ratio`: share of encoded cells that held no item.
    """

    indices: Indices
    scores: NDArray[np.float32]
    encode_s: float
    score_s: float
    padding_ratio: float


def concatenate(parts: Sequence[RankedItems]) -> RankedItems:
    """Join the answers to the parts of a batch."""
    if len(parts) == 1:
        return parts[0]
    return RankedItems(
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.scores for part in parts]),
        sum(part.encode_s for part in parts),
        sum(part.score_s for part in parts),
        float(np.mean([part.padding_ratio for part in parts])),
    )
