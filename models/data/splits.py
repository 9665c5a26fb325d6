"""Leave-one-out: of every user the last event is the test and the one before it the validation.

Users with fewer than three events only teach. It knows histories as index arrays and nothing of models.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.batch import History
from models.data.dataset import HOLDOUT, Dataset

SplitPart = Literal["valid", "test"]


@dataclass(frozen=True, slots=True)
class Cases:
    """One question per row: after `histories[i]`, was `targets[i]` foreseen? `users` are rows of the dataset."""

    users: NDArray[np.int64]
    histories: list[History]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


def training_histories(dataset: Dataset) -> list[History]:
    """What training sees of every user; views, not copies."""
    return [_before(dataset.history(user), HOLDOUT) for user in range(dataset.num_users)]


def cases(dataset: Dataset, part: SplitPart) -> Cases:
    """The test asks with the validation event in the history, as the service would have it."""
    back = {"valid": 2, "test": 1}[part]
    users = np.flatnonzero(np.diff(dataset.offsets) > HOLDOUT)
    histories = [dataset.history(int(user)) for user in users]
    return Cases(
        users=users,
        histories=[history[:-back] for history in histories],
        targets=np.array([history[-back] for history in histories], dtype=np.int64),
    )


def _before(history: History, holdout: int) -> History:
    return history[:-holdout] if len(history) > holdout else history
