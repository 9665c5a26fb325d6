"""The contract of the second room: a sequence of item vectors to what comes next at every position."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class SequenceEncoder(nn.Module, ABC):
    """`causal` encoders let no position look ahead, so training supervises them everywhere and may ignore lengths."""

    causal: bool

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, dim) right-padded vectors, (B,) lengths → (B, T, dim); what stands behind the end has no meaning."""

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, dim): `forward` at the last position of each row. Override where the others need not be computed."""
        everywhere: Tensor = self(x, lengths)
        return everywhere[torch.arange(len(lengths), device=lengths.device), lengths - 1]

    def reset_special(self) -> None:
        """Set weights that must not start like the others; called after the common initialisation."""
