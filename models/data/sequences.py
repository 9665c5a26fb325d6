"""Training batches: windows of every user's history, users of like length together, in a repeatable order.

A history longer than a window gives its newest window, which is what the model will be asked about, and windows in
front of it, because older events are there to be learned too. What epoch n looks like depends on (seed, n) alone, so
a run that was stopped goes on with the same batches. It knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import PADDING, History, SequenceBatch, Times, pad_right

LENGTH_JITTER = 0.15
"""Users are sorted by length times 1 ± this: near lengths share a batch, but not the same users in every epoch."""


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """`targets` (B, T): the item after each position; 0 behind the end."""

    sequences: SequenceBatch
    targets: Tensor


class TrainingBatches:
    """Histories of fewer than two events have nothing to learn from and are left out.

    `times`, parallel to the histories, go into the batches; None for a model that does not read them.
    """

    def __init__(
        self,
        histories: Sequence[History],
        *,
        max_len: int,
        batch_cells: int,
        seed: int,
        times: Sequence[Times] | None = None,
    ) -> None:
        self._histories = [history for history in histories if len(history) > 1]
        self._times = None
        if times is not None:
            self._times = [one for one, history in zip(times, histories, strict=True) if len(history) > 1]
        if not self._histories:
            raise ValueError("no user has two events in the training part: nothing to learn from")
        self._lengths = np.array([len(history) for history in self._histories])
        self._max_len = max_len
        self._batch_cells = batch_cells
        self._seed = seed

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Plans of one epoch's batches: each (B, 2), a row of histories and the end of its window."""
        rng = np.random.default_rng([self._seed, number])
        window = self._max_len + 1  # the last item is only a target
        rows, ends = self._windows(rng, window)
        jitter = rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(ends))
        order = np.argsort(np.minimum(ends, window) * jitter, kind="stable")
        plans = self._cut(np.stack((rows[order], ends[order]), axis=1))
        return [plans[place] for place in rng.permutation(len(plans))]

    def _windows(self, rng: np.random.Generator, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and ends: the newest window of every history, and windows that cover what is in front of it.

        Where those are cut changes from epoch to epoch, and the first of them reaches into the newest window, so that
        every event gets to be a target with a long history before it.
        """
        step = window - 1
        older = np.where(
            self._lengths > window, self._lengths - step, 0
        )  # events that are no target of the newest window
        reach = rng.integers(0, step, len(older))
        kept = rng.random(len(older)) < older / step  # few older events need no window in every epoch
        count = 1 + np.where(kept, -(-(older + reach) // step), 0)
        rows = np.repeat(np.arange(len(count)), count)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)  # 0 for the newest window of a row
        ends = np.where(place == 0, self._lengths[rows], (older + reach)[rows] - (place - 1) * step)
        return rows, np.maximum(ends, 2)

    def num_targets(self, plan: NDArray[np.int64]) -> int:
        """How many targets `batch` makes of it, without making them."""
        return int(np.minimum(plan[:, 1] - 1, self._max_len).sum())

    def batch(self, plan: NDArray[np.int64]) -> TrainingBatch:
        spans = [(int(row), slice(max(0, end - self._max_len - 1), end)) for row, end in plan.tolist()]
        windows = [self._histories[row][span] for row, span in spans]
        times = None if self._times is None else [self._times[row][span][:-1] for row, span in spans]
        sequences = pad_right([window[:-1] for window in windows], self._max_len, times)
        targets = torch.full_like(sequences.items, PADDING)
        for row, window in zip(targets, windows, strict=True):
            row[: len(window) - 1] = torch.from_numpy(window[1:])
        return TrainingBatch(sequences, targets)

    def _cut(self, plan: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Consecutive rows whose padded rectangle has at most `batch_cells` cells; one row at least."""
        batches, start, longest = [], 0, 0
        for place, length in enumerate(np.minimum(plan[:, 1] - 1, self._max_len)):
            wider = max(longest, int(length))
            if place > start and wider * (place - start + 1) > self._batch_cells:
                batches.append(plan[start:place])
                start, wider = place, int(length)
            longest = wider
        return [*batches, plan[start:]]
