"""Training batches: windows of user histories, similar lengths together, in a reproducible order.

A history longer than a window contributes its newest window, which is what the model sees when serving, and windows
over the older events, which are training data too. Epoch n depends on (seed, n) alone, so a resumed run gets the same
batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import PADDING, History, SequenceBatch, Times, pad_right
from models.data.target_weights import TargetWeights, Weights, find_last_target

LENGTH_JITTER = 0.15
"""Users are sorted by length times 1 ± this: a batch has similar lengths, but other users in every epoch."""


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """A padded batch; `targets` (B, T) are the items after each position, 0 after the end and for a weight of 0.

    `weights` (B, T) are those of the targets in the loss; None if all are equal.
    """

    sequences: SequenceBatch
    targets: Tensor
    weights: Tensor | None = None


class TrainingBatches:
    """Plans and builds the batches of every epoch; histories of fewer than two events are skipped.

    `times` are parallel to the histories; None for a model that does not read times. `weights` are parallel to them,
    too: those of their events as targets, 0 for none. Windows without a target are left out. `last_only`: the model
    learns only from the last target of a window.
    """

    def __init__(
        self,
        histories: Sequence[History],
        *,
        max_len: int,
        batch_cells: int,
        seed: int,
        times: Sequence[Times] | None = None,
        weights: Sequence[Weights] | None = None,
        last_only: bool = False,
    ) -> None:
        ends = list(map(len, histories)) if weights is None else list(map(find_last_target, weights))
        rows = [row for row, end in enumerate(ends) if end > 1]
        self._histories = [histories[row][: ends[row]] for row in rows]
        self._times = None if times is None else [times[row][: ends[row]] for row in rows]
        self._weights = None
        if weights is not None and rows:
            self._weights = TargetWeights([weights[row][: ends[row]] for row in rows], max_len, last_only=last_only)
        if not self._histories:
            raise ValueError(
                "training needs at least one user with two events in the training part, the later one with a weight "
                "above 0; use --preset popular"
            )
        self._lengths = np.array([len(history) for history in self._histories])
        self._max_len = max_len
        self._last_only = last_only
        self._batch_cells = batch_cells
        self._seed = seed

    def plan_epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Plan the batches of an epoch, each (B, 2): a history row and the end of its window."""
        rng = np.random.default_rng([self._seed, number])
        window = self._max_len + 1  # the last item is only a target
        rows, ends = self._choose_windows(rng, window)
        jitter = rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(ends))
        order = np.argsort(np.minimum(ends, window) * jitter, kind="stable")
        plans = self._split_into_batches(np.stack((rows[order], ends[order]), axis=1))
        return [plans[index] for index in rng.permutation(len(plans))]

    def _choose_windows(self, rng: np.random.Generator, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Choose rows and ends: the newest window of every history, and windows that cover the older events.

        The cuts between older windows change every epoch, and the first of them overlaps the newest window, so that
        every event becomes a target with a long history before it.
        """
        step = window - 1
        # Events that are not a target of the newest window.
        older = np.where(self._lengths > window, self._lengths - step, 0)
        overlap = rng.integers(0, step, len(older))
        has_older = rng.random(len(older)) < older / step  # few older events need no window in every epoch
        count = 1 + np.where(has_older, -(-(older + overlap) // step), 0)
        rows = np.repeat(np.arange(len(count)), count)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)  # 0 for the newest window of a row
        ends = np.where(number == 0, self._lengths[rows], (older + overlap)[rows] - (number - 1) * step)
        ends = np.maximum(ends, 2)
        if self._weights is None:
            return rows, ends
        has_target = self._weights.sum_windows(np.stack((rows, ends), axis=1)) > 0
        return rows[has_target], ends[has_target]

    def count_targets(self, plan: NDArray[np.int64]) -> int:
        """Count the targets of a planned batch without building it, those with a weight of 0 included."""
        return int(np.minimum(plan[:, 1] - 1, self._max_len).sum())

    def sum_weights(self, plan: NDArray[np.int64]) -> float:
        """Sum the weights of the targets that the loss of a planned batch averages over; each is 1 without weights."""
        if self._weights is not None:
            return float(self._weights.sum_windows(plan).sum())
        return len(plan) if self._last_only else self.count_targets(plan)

    def build_batch(self, plan: NDArray[np.int64]) -> TrainingBatch:
        spans = [(int(row), slice(max(0, end - self._max_len - 1), end)) for row, end in plan.tolist()]
        windows = [self._histories[row][span] for row, span in spans]
        times = request_times = None
        if self._times is not None:
            times = [self._times[row][span][:-1] for row, span in spans]
            request_times = np.array([self._times[row][span.stop - 1] for row, span in spans], dtype=np.uint32)
        sequences = pad_right([window[:-1] for window in windows], self._max_len, times, request_times)
        targets = torch.full_like(sequences.items, PADDING)
        for row, window in zip(targets, windows, strict=True):
            row[: len(window) - 1] = torch.from_numpy(window[1:])
        if self._weights is None:
            return TrainingBatch(sequences, targets)
        weights = torch.zeros(targets.shape)
        for weight_row, (row, span) in zip(weights, spans, strict=True):
            weight_row[: span.stop - span.start - 1] = torch.from_numpy(self._weights.rows[row][span][1:])
        return TrainingBatch(sequences, targets.masked_fill(weights == 0, PADDING), weights)

    def _split_into_batches(self, plan: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split into consecutive rows whose padded rectangle has at most `batch_cells` cells, or a single row."""
        batches, start, width = [], 0, 0
        for row, length in enumerate(np.minimum(plan[:, 1] - 1, self._max_len)):
            new_width = max(width, int(length))
            if row > start and new_width * (row - start + 1) > self._batch_cells:
                batches.append(plan[start:row])
                start, new_width = row, int(length)
            width = new_width
        return [*batches, plan[start:]]
