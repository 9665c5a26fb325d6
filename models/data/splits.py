"""Leave-one-out splits: each user's last event is the test target, the one before it the validation target.

Users with fewer than three events are used for training only.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.batch import History, Times
from models.data.dataset import HELD_OUT_EVENTS, Dataset

SplitPart = Literal["valid", "test"]
TARGET_FROM_END: dict[SplitPart, int] = {"valid": 2, "test": 1}
"""Position of the target, counted from the end of a user's events."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Evaluation cases: `targets[i]` is the item after `histories[i]`; `users` are rows of the dataset."""

    users: NDArray[np.int64]
    histories: list[History]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


def select_training_histories(dataset: Dataset) -> list[History]:
    """The training part of every user's history; views, not copies."""
    histories = [dataset.history(user) for user in range(dataset.num_users)]
    return [history[: _count_training_events(len(history))] for history in histories]


def select_training_times(dataset: Dataset) -> list[Times]:
    """The times of `select_training_histories`."""
    times = [dataset.history_times(user) for user in range(dataset.num_users)]
    return [row[: _count_training_events(len(row))] for row in times]


def make_cases(dataset: Dataset, part: SplitPart) -> Cases:
    """Make the cases of a split; test histories include the validation event, as they would in the service."""
    offset = TARGET_FROM_END[part]
    users = np.flatnonzero(np.diff(dataset.offsets) > HELD_OUT_EVENTS)
    histories = [dataset.history(int(user)) for user in users]
    return Cases(
        users=users,
        histories=[history[:-offset] for history in histories],
        targets=np.array([history[-offset] for history in histories], dtype=np.int64),
    )


def select_case_times(dataset: Dataset, part: SplitPart, users: NDArray[np.int64]) -> list[Times]:
    """The times of these users' histories in `make_cases`."""
    return [dataset.history_times(int(user))[: -TARGET_FROM_END[part]] for user in users]


def _count_training_events(length: int) -> int:
    """Count a user's training events, which are the oldest ones."""
    return length - HELD_OUT_EVENTS if length > HELD_OUT_EVENTS else length
