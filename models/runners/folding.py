"""Weights of a block as the native library wants them: norms folded into what follows, heads in its order, in panels.

Everything is exact: products are made in float64 and rounded once. It knows torch's layers and no memory.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.layers.attention import CausalSelfAttention

PANEL = 32
STEP = 16
"""Widths are multiples of this."""

Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """y = weight x + bias, `weight` (outputs, inputs), `bias` (outputs,)."""

    weight: Wide
    bias: Wide

    @classmethod
    def of(cls, linear: nn.Linear) -> "Affine":
        weight, bias = _wide(linear.weight), dict(linear.named_parameters()).get("bias")
        return cls(weight, np.zeros(len(weight)) if bias is None else _wide(bias))

    def after(self, norm: nn.LayerNorm) -> "Affine":
        """The same for inputs that have been normalised but not weighed."""
        return Affine(self.weight * _wide(norm.weight), self.bias + self.weight @ _wide(norm.bias))

    def rows(self, order: NDArray[np.int64]) -> "Affine":
        """Outputs in another order; −1 is an output that is always zero."""
        kept = order >= 0
        weight, bias = np.zeros((len(order), self.weight.shape[1])), np.zeros(len(order))
        weight[kept], bias[kept] = self.weight[order[kept]], self.bias[order[kept]]
        return Affine(weight, bias)

    def columns(self, order: NDArray[np.int64]) -> "Affine":
        """Inputs in another order; −1 is an input that has no weight."""
        weight = np.zeros((len(self.weight), len(order)))
        weight[:, order >= 0] = self.weight[:, order[order >= 0]]
        return Affine(weight, self.bias)

    def times(self, factor: float) -> "Affine":
        return Affine(self.weight * factor, self.bias * factor)

    def panels(self) -> NDArray[np.float32]:
        """The transposed weight, cut into panels of 32 outputs, one after the other."""
        parts = [self.weight[start : start + PANEL].T.ravel() for start in range(0, len(self.weight), PANEL)]
        return np.concatenate(parts).astype(np.float32)


def value_width(dim: int, heads: int) -> int:
    """Columns of a head among the values."""
    return -(-(dim // heads) // STEP) * STEP


def folded_attention(attention: CausalSelfAttention, norm: nn.LayerNorm) -> dict[str, Affine]:
    """`query`, `key`, `value`, `out` and `folded` of models/native/model.h."""
    dim, heads = attention.out.in_features, attention.heads
    width = dim // heads
    starts = np.arange(heads)[:, None] * width
    halves = (starts + np.r_[0:width:2, 1:width:2]).ravel()  # even features first: rotation goes by whole vectors
    padded = np.full((heads, value_width(dim, heads)), -1)
    padded[:, :width] = starts + np.arange(width)
    stacked = _wide(attention.qkv.weight)
    query, key, value = (Affine(part, np.zeros(dim)).after(norm) for part in np.split(stacked, 3))
    out = Affine.of(attention.out)
    by_head = [out.weight[:, at : at + width] @ value.weight[at : at + width] for at in starts.ravel()]
    return {
        "query": query.rows(halves).times(math.log2(math.e) / math.sqrt(width)),
        "key": key.rows(halves),
        "value": value.rows(padded.ravel()),
        "out": out.columns(padded.ravel()),
        "folded": Affine(np.concatenate(by_head, axis=1), out.bias + out.weight @ value.bias),  # weights sum to one
    }


def _wide(tensor: Tensor) -> Wide:
    found: Wide = tensor.detach().double().numpy()
    return found
