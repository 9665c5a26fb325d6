"""The contract of the fourth room: ragged histories to the vector that says what comes next. It knows no scores."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from models.batch import History, Times


@dataclass(frozen=True, slots=True)
class Encoded:
    """`hidden` (B, dim) float32; `padding_ratio`: the share of computed cells that held no item."""

    hidden: Tensor
    padding_ratio: float


class Runner(ABC):
    """Runs one model with the weights it had when the runner was made. Not for several threads at once."""

    name: str
    """Who computes, for people."""

    @abstractmethod
    def encode(self, histories: Sequence[History], times: Sequence[Times] | None = None) -> Encoded:
        """The hidden vector after each history, of its newest `max_len` items.

        Args:
            histories: catalogue indices, oldest first. ValueError for none, or for an empty one.
            times: one for each event of every history; None where nobody knows or the model reads none.

        """
