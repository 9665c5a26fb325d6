"""Interface of sequence encoders: item vectors to hidden vectors that predict the next item."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class SequenceEncoder(nn.Module, ABC):
    """In a `causal` encoder no position reads later ones, so training uses every position and may ignore lengths."""

    causal: bool

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, dim) right-padded vectors, (B,) lengths → (B, T, dim); outputs at padding are meaningless."""

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, dim): `forward` at the last position of each row. Override to skip the other positions."""
        outputs: Tensor = self(x, lengths)
        return outputs[torch.arange(len(lengths), device=lengths.device), lengths - 1]

    def reset_special(self) -> None:
        """Initialize weights that need another start than the common one; called after the common initialization."""
