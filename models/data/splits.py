"""Leave-one-out: of every user the last event is the test and the one before it the validation.

Users with fewer than three events only teach. It knows histories as index arrays and nothing of models.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.batch import History, Times
from models.data.dataset import HELD_OUT_EVENTS, Dataset

SplitPart = Literal["valid", "test"]
BACK: dict[SplitPart, int] = {"valid": 2, "test": 1}
"""How far from the end of a user's events the one stands that is asked for."""


@dataclass(frozen=True, slots=True)
class Cases:
    """One question per row: after `histories[i]`, was `targets[i]` foreseen? `users` are rows of the dataset."""

    users: NDArray[np.int64]
    histories: list[History]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


def select_training_histories(dataset: Dataset) -> list[History]:
    """What training sees of every user; views, not copies."""
    histories = [dataset.history(user) for user in range(dataset.num_users)]
    return [history[: _taught(len(history))] for history in histories]


def select_training_times(dataset: Dataset) -> list[Times]:
    """The times of `select_training_histories`."""
    times = [dataset.history_times(user) for user in range(dataset.num_users)]
    return [one[: _taught(len(one))] for one in times]


def make_cases(dataset: Dataset, part: SplitPart) -> Cases:
    """The test asks with the validation event in the history, as the service would have it."""
    back = BACK[part]
    users = np.flatnonzero(np.diff(dataset.offsets) > HELD_OUT_EVENTS)
    histories = [dataset.history(int(user)) for user in users]
    return Cases(
        users=users,
        histories=[history[:-back] for history in histories],
        targets=np.array([history[-back] for history in histories], dtype=np.int64),
    )


def select_case_times(dataset: Dataset, part: SplitPart, users: NDArray[np.int64]) -> list[Times]:
    """The times of the histories that `make_cases` has for these users."""
    return [dataset.history_times(int(user))[: -BACK[part]] for user in users]


def _taught(length: int) -> int:
    """How many of a user's events, the oldest, training sees."""
    return length - HELD_OUT_EVENTS if length > HELD_OUT_EVENTS else length
