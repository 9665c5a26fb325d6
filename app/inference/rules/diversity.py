"""Maximal marginal relevance: each item is chosen by its score and by how unlike it is to the items before it.

Carbonell, Goldstein (1998), The use of MMR, diversity-based reranking for reordering documents and producing summaries.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MIN_NORM = 1e-12


class MarginalRelevance:
    """Scores of a pool of items, best first: (1 − d) · relevance − d · largest cosine with an item before it.

    The relevance is the score, scaled to 0 for the last and 1 for the first item of the pool.
    """

    def __init__(self, scores: NDArray[np.float64], vectors: Floats, previous: Floats, diversity: float) -> None:
        """`vectors` (n, dim) of the pool and `previous` (m, dim) of the items before it, in any length."""
        span = float(scores[0] - scores[-1])
        relevance = (scores - scores[-1]) / span if span > 0 else np.ones(len(scores))
        self._base = (1 - diversity) * relevance
        self._diversity = diversity
        self._vectors = scale_to_unit(vectors)
        cosines = self._vectors @ scale_to_unit(previous).T
        self._nearest = cosines.max(axis=1, initial=-1.0) if len(previous) else np.full(len(scores), -1.0)
        self._is_open = np.ones(len(scores), dtype=bool)

    def find_best(self) -> int | None:
        """Return the position of the best item that is still open, the first of equal ones; None if there is none."""
        values = np.where(self._is_open, self._base - self._diversity * self._nearest, -np.inf)
        best = int(values.argmax())
        return best if self._is_open[best] else None

    def close(self, position: int, *, is_chosen: bool) -> None:
        """Remove an item from the pool; the other items are compared with it if it is chosen."""
        self._is_open[position] = False
        if is_chosen:
            self._nearest = np.maximum(self._nearest, self._vectors @ self._vectors[position])


def scale_to_unit(vectors: Floats) -> Floats:
    """Scale the rows to length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(lengths, MIN_NORM)
    return unit
