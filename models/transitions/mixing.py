"""Weights of a transition memory: which followers a history has, and how much each counts against the model.

The mixture of a model's softmax m and the followers c_d of the item at distance d from the end of the history is

    p(i) ∝ m(i) + w(i) · m(i)^(1 − β),    w(i) = Σ_d g_d · c_d(i) + r_d · [i is the item at d],    m(i) = exp(τ s_i) / Z

so item i gets the bonus b_i = log w(i) + β log Z̄, and its score becomes s_i + log(1 + exp(b_i − β τ s_i)) / τ. τ is the
scale of the scores, β the damping: 1 adds probabilities, 0 multiplies them. log g_d and log r_d are linear in features
of the item at d. Z̄ is a constant, because an exact scorer need not compute all scores. Features use neither filters nor
the scorer's answer, so that a score does not depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import History
from models.transitions.codec import PROBABILITIES, unpack_indices
from models.transitions.memory import LOG_COUNTS, LOOKBACK, NUM_FEATURES, TransitionMemory

Floats = NDArray[np.float32]
MAX_EXPONENT = 12.0
"""Largest value of log g_d and log r_d; weights below the negative value are 0."""


@dataclass(frozen=True, slots=True)
class Followers:
    """Followers of the newest items, newest first: `items` (B, L, F + 1), 0 for none, with `probabilities`, 0 there.

    The last column is the newest item itself, with probability 1. `features` (B, L, NUM_FEATURES) of each of the newest
    items; `log_normalizers` (B,).
    """

    items: NDArray[np.int64]
    probabilities: Floats
    features: Floats
    log_normalizers: Floats


class TransitionMixer:
    """Reads a memory as numpy arrays: its own on a CPU, a copy in main memory on a GPU."""

    def __init__(self, memory: TransitionMemory) -> None:
        self._rows = memory.rows.cpu().numpy()
        self._num_followers = memory.num_followers
        self._index_columns = memory.num_followers * memory.index_bytes
        self._gate = memory.gate.cpu().numpy()
        self._normalizer_in = memory.normalizer_in.cpu().numpy()
        self._normalizer_out = memory.normalizer_out.cpu().numpy()
        cells = LOOKBACK * (memory.num_followers + 1)
        self._is_earlier = np.tri(cells, k=-1, dtype=bool)

    def find_followers(self, histories: Sequence[History], hidden: Floats) -> Followers:
        """Look up the followers of the newest items of each history; `hidden` (B, dim) are its vectors."""
        newest = np.zeros((len(histories), LOOKBACK), dtype=np.int64)
        for row, history in zip(newest, histories, strict=True):
            tail = history[: -LOOKBACK - 1 : -1]
            row[: len(tail)] = tail
        rows = self._rows[newest]
        followers = unpack_indices(rows[..., : self._index_columns], self._num_followers)
        items = np.concatenate((followers, newest[..., None]), axis=-1)
        probabilities = PROBABILITIES[rows[..., self._index_columns : -1]]
        with_repeats = np.concatenate((probabilities, (newest > 0).astype(np.float32)[..., None]), axis=-1)
        estimates = self._estimate(hidden)
        features = np.empty((*newest.shape, NUM_FEATURES), dtype=np.float32)
        log_counts = LOG_COUNTS[rows[..., -1]]
        features[..., 0] = log_counts
        features[..., 1] = log_counts * log_counts / 10
        features[..., 2] = probabilities[..., 0]
        features[..., 3] = probabilities.sum(-1)
        features[..., 4] = estimates[:, 1:]
        features[..., 5] = features[..., 4] * features[..., 4] / 10
        features[..., 6] = features[..., 4] * log_counts / 10
        features[..., 7] = np.log(np.minimum([len(history) for history in histories], 50))[:, None]
        return Followers(items, with_repeats, features, estimates[:, 0])

    def compute_bonuses(self, followers: Followers) -> tuple[NDArray[np.int64], Floats]:
        """Return items (B, C), each once and 0 elsewhere, and their bonuses (B, C), −inf where there is no item."""
        exponents = followers.features @ self._gate[:, LOOKBACK:].T + self._gate[:, :LOOKBACK].T  # (B, L, 2)
        weights = np.where(exponents < -MAX_EXPONENT, 0, np.exp(np.minimum(exponents, MAX_EXPONENT)))
        weights = np.repeat(weights, (self._num_followers, 1), axis=-1) * followers.probabilities
        weights = weights.reshape(len(weights), -1)
        items = np.where(weights > 0, followers.items.reshape(weights.shape), 0)
        is_equal = items[:, :, None] == items[:, None, :]
        sums = np.matmul(is_equal.astype(np.float32), weights[..., None])[..., 0]
        items = np.where((is_equal & self._is_earlier).any(-1), 0, items)
        with np.errstate(divide="ignore"):
            bonuses = np.log(np.where(items > 0, sums, 0)) + followers.log_normalizers[:, None]
        return items, bonuses

    def _estimate(self, hidden: Floats) -> Floats:
        """(B, dim) → (B, NUM_ESTIMATES)"""
        inner = hidden @ self._normalizer_in[:, :-1].T + self._normalizer_in[:, -1]
        np.maximum(inner, 0, out=inner)
        estimates: Floats = inner @ self._normalizer_out[:, :-1].T + self._normalizer_out[:, -1]
        return estimates
