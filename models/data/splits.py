"""Training part and evaluation cases of a dataset, split leave-one-out or by time.

Leave-one-out: each user's last event is the test target, the one before it the validation target. Users with fewer than
three events are used for training only. A target may be an unknown item; a history has known items only.

By time (`Dataset.time_split`): the test target is each user's first event after a moment, and the validation target the
last event before it, for users with three or more events before it. All other events before the moment are for
training, and no event after it is in any history or count.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.batch import NO_TIME, History, Times
from models.data.dataset import HELD_OUT_EVENTS, UNKNOWN_ITEM, Dataset

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


def has_training_pairs(dataset: Dataset) -> bool:
    """Whether any user has two training events, so that a sequence model can learn from their order."""
    return bool((_count_training_events(dataset) > 1).any())


def make_cases(dataset: Dataset, part: SplitPart) -> Cases:
    """Make the cases of a split; test histories include the validation event, as they would in the service."""
    positions = _find_targets(dataset, part)
    users = np.flatnonzero(positions >= 0)
    return Cases(
        users=users,
        histories=[dataset.history(user)[: _find_history_end(dataset, user, positions)] for user in users.tolist()],
        targets=dataset.items[dataset.offsets[users] + positions[users]],
    )


def select_case_times(dataset: Dataset, part: SplitPart, users: NDArray[np.int64]) -> list[Times]:
    """The times of these users' histories in `make_cases`."""
    positions = _find_targets(dataset, part)
    return [dataset.history_times(user)[: _find_history_end(dataset, user, positions)] for user in users.tolist()]


def _find_history_end(dataset: Dataset, user: int, positions: NDArray[np.int64]) -> int:
    """End of the history of a case; only the event before a target can be unknown."""
    end = int(positions[user])
    return end - 1 if dataset.items[dataset.offsets[user] + end - 1] == UNKNOWN_ITEM else end


def select_request_times(dataset: Dataset, part: SplitPart, users: NDArray[np.int64]) -> Times:
    """The times of these users' targets (n,), at which a service would be asked for them."""
    positions = _find_targets(dataset, part)[users]
    if dataset.times is None:
        return np.full(len(users), NO_TIME, dtype=np.uint32)
    times: Times = dataset.times[dataset.offsets[users] + positions]
    return times


def _find_targets(dataset: Dataset, part: SplitPart) -> NDArray[np.int64]:
    """Position of every user's target in the history, −1 for a user without a case: (num_users,)."""
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
    lengths = np.diff(dataset.offsets)
    if dataset.time_split is None:
        is_held_out = (lengths if dataset.num_log_events is None else dataset.num_log_events) > HELD_OUT_EVENTS
        return np.where(is_held_out, lengths - HELD_OUT_EVENTS, lengths)
    num_before = dataset.time_split.num_before
    return np.where(num_before > HELD_OUT_EVENTS, num_before - 1, num_before)
