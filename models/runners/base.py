"""Interface of runners: ragged histories in, the hidden vector after each history out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from models.batch import History, Times


@dataclass(frozen=True, slots=True)
class Encoded:
    """`hidden` (B, dim) float32; `padding_ratio`: share of computed cells that held no item."""

    hidden: Tensor
    padding_ratio: float


class Runner(ABC):
    """Runs one model with the weights that it had when the runner was built. Not thread-safe."""

    name: str
    """Backend, as shown to users."""

    @abstractmethod
    def encode(
        self,
        histories: Sequence[History],
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> Encoded:
        """Compute the hidden vector after each history from its newest `max_len` items.

        Args:
            histories: catalogue indices, oldest first. ValueError for no histories or an empty one.
            times: one per event of every history; None if unknown or if the model does not read times.
            request_times: (B,) one per history, 0 for unknown; None as above.

        """
