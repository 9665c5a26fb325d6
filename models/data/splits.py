"""Training part and evaluation cases of a dataset, split leave-one-out or by time.

Leave-one-out: each user's last event is the test target, the one before it the validation target. Users with fewer than
three events are used for training only. A target may be an unknown item; a history has known items only.

By time (`Dataset.time_split`): the test target is each user's first event after a moment, and the validation target the
last event before it, for users with three or more events before it. All other events before the moment are for
training, and no event after it is in any history or count.

By type (`Dataset.held_out`): only events of one type are targets (models/data/held_out.py).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.batch import NO_TIME, History, Times
from models.data.dataset import UNKNOWN_ITEM, Dataset
from models.data.held_out import HELD_OUT_EVENTS
from models.data.target_weights import Weights

SplitPart = Literal["valid", "test"]


@dataclass(frozen=True, slots=True)
class Cases:
    """Evaluation cases: `targets[i]` is the item after `histories[i]`; `users` are rows of the dataset."""

    users: NDArray[np.int64]
    histories: list[History]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: NDArray[np.int64]) -> "Cases":
        return Cases(self.users[rows], [self.histories[row] for row in rows], self.targets[rows])

    def spread(self, limit: int | None) -> "Cases":
        """Select that many cases, evenly spaced over the users; all cases if there are fewer, or without a limit."""
        if limit is None or limit >= len(self):
            return self
        return self.select(np.linspace(0, len(self) - 1, limit).astype(np.int64))


def select_training_histories(dataset: Dataset) -> list[History]:
    """The training part of every user's history; views, not copies."""
    ends = _count_training_events(dataset).tolist()
    return [dataset.history(user)[:end] for user, end in enumerate(ends)]


def select_training_times(dataset: Dataset) -> list[Times]:
    """The times of `select_training_histories`."""
    ends = _count_training_events(dataset).tolist()
    return [dataset.history_times(user)[:end] for user, end in enumerate(ends)]


def select_training_weights(dataset: Dataset) -> list[Weights] | None:
    """The weights of `select_training_histories` as targets; None if all are equal."""
    if dataset.weights is None:
        return None
    starts, counts = dataset.offsets[:-1].tolist(), _count_training_events(dataset).tolist()
    return [dataset.weights[start : start + count] for start, count in zip(starts, counts, strict=True)]


def list_known_histories(dataset: Dataset) -> list[History]:
    """List the whole history of every user without unknown items, held-out events included."""
    return [dataset.known_history(user) for user in range(dataset.num_users)]


def select_known_weights(dataset: Dataset) -> list[Weights] | None:
    """The weights of `list_known_histories` as targets; None if all are equal."""
    if dataset.weights is None:
        return None
    is_known = dataset.items != UNKNOWN_ITEM
    spans = list(zip(dataset.offsets[:-1].tolist(), dataset.offsets[1:].tolist(), strict=True))
    return [dataset.weights[start:end][is_known[start:end]] for start, end in spans]


def count_training_targets(dataset: Dataset) -> int:
    """Count the events of the training part that a sequence model learns from: with an event before, and a weight."""
    counts = np.maximum(_count_training_events(dataset) - 1, 0)
    if dataset.weights is None:
        return int(counts.sum())
    sums = np.concatenate(([0], np.cumsum(dataset.weights > 0)))
    firsts = np.minimum(dataset.offsets[:-1] + 1, dataset.offsets[1:])
    return int((sums[firsts + counts] - sums[firsts]).sum())


def count_cases(dataset: Dataset, part: SplitPart) -> int:
    return int((_find_targets(dataset, part) >= 0).sum())


def make_cases(dataset: Dataset, part: SplitPart) -> Cases:
    """Make the cases of a split; test histories include the validation event, as they would in the service."""
    positions = _find_targets(dataset, part)
    users = np.flatnonzero(positions >= 0)
    return Cases(
        users=users,
        histories=[dataset.history(user)[_select_history(dataset, user, positions)] for user in users.tolist()],
        targets=dataset.items[dataset.offsets[users] + positions[users]],
    )


def select_case_times(dataset: Dataset, part: SplitPart, users: NDArray[np.int64]) -> list[Times]:
    """The times of these users' histories in `make_cases`."""
    positions = _find_targets(dataset, part)
    return [dataset.history_times(user)[_select_history(dataset, user, positions)] for user in users.tolist()]


def _select_history(dataset: Dataset, user: int, positions: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Select the events of the history of a case; only another target can be unknown, and it is left out."""
    end = int(positions[user])
    if dataset.held_out is not None:
        start = dataset.offsets[user]
        return np.flatnonzero(dataset.items[start : start + end] != UNKNOWN_ITEM)
    return slice(end - 1 if dataset.items[dataset.offsets[user] + end - 1] == UNKNOWN_ITEM else end)


def select_request_times(dataset: Dataset, part: SplitPart, users: NDArray[np.int64]) -> Times:
    """The times of these users' targets (n,), at which a service would be asked for them."""
    positions = _find_targets(dataset, part)[users]
    if dataset.times is None:
        return np.full(len(users), NO_TIME, dtype=np.uint32)
    times: Times = dataset.times[dataset.offsets[users] + positions]
    return times


def _find_targets(dataset: Dataset, part: SplitPart) -> NDArray[np.int64]:
    """Position of every user's target in the history, −1 for a user without a case: (num_users,)."""
    if dataset.held_out is not None:
        return dataset.held_out.test if part == "test" else dataset.held_out.valid
    lengths = np.diff(dataset.offsets)
    if dataset.time_split is None:
        positions = lengths - (1 if part == "test" else 2)
        if dataset.num_log_events is None:
            return np.where(lengths > HELD_OUT_EVENTS, positions, -1)
        # All events in front of the held-out ones are known; without them, only the validation event can be a history.
        before_test = dataset.items[dataset.offsets[:-1] + np.maximum(lengths - 2, 0)] != UNKNOWN_ITEM
        has_history = (lengths > HELD_OUT_EVENTS) | (before_test & (part == "test"))
        return np.where((dataset.num_log_events > HELD_OUT_EVENTS) & has_history, positions, -1)
    num_before = dataset.time_split.num_before
    if part == "test":
        return np.where(lengths > num_before, num_before, -1)
    return np.where(num_before > HELD_OUT_EVENTS, num_before - 1, -1)


def _count_training_events(dataset: Dataset) -> NDArray[np.int64]:
    """Count every user's training events, which are the oldest ones: (num_users,)."""
    if dataset.held_out is not None:
        return dataset.held_out.num_training
    lengths = np.diff(dataset.offsets)
    if dataset.time_split is None:
        is_held_out = (lengths if dataset.num_log_events is None else dataset.num_log_events) > HELD_OUT_EVENTS
        return np.where(is_held_out, lengths - HELD_OUT_EVENTS, lengths)
    num_before = dataset.time_split.num_before
    return np.where(num_before > HELD_OUT_EVENTS, num_before - 1, num_before)
