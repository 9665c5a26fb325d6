"""Weights of a block as the native library reads them: norms folded into the next layer, features reordered, panels.

Exact: products are computed in float64 and rounded once.
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

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """y = weight x + bias, `weight` (outputs, inputs), `bias` (outputs,)."""

    weight: Float64Array
    bias: Float64Array

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> "Affine":
        weight, bias = _to_float64(linear.weight), dict(linear.named_parameters()).get("bias")
        return cls(weight, np.zeros(len(weight)) if bias is None else _to_float64(bias))

    def fold_norm(self, norm: nn.LayerNorm) -> "Affine":
        """Fold in the weight and bias of a preceding norm: inputs are then only normalized."""
        return Affine(self.weight * _to_float64(norm.weight), self.bias + self.weight @ _to_float64(norm.bias))

    def permute_outputs(self, order: NDArray[np.int64]) -> "Affine":
        """Reorder the outputs; −1 is an output that is always zero."""
        is_used = order >= 0
        weight, bias = np.zeros((len(order), self.weight.shape[1])), np.zeros(len(order))
        weight[is_used], bias[is_used] = self.weight[order[is_used]], self.bias[order[is_used]]
        return Affine(weight, bias)

    def permute_inputs(self, order: NDArray[np.int64]) -> "Affine":
        """Reorder the inputs; −1 is an input without weight."""
        weight = np.zeros((len(self.weight), len(order)))
        weight[:, order >= 0] = self.weight[:, order[order >= 0]]
        return Affine(weight, self.bias)

    def scale(self, factor: float) -> "Affine":
        return Affine(self.weight * factor, self.bias * factor)

    def pack_panels(self) -> NDArray[np.float32]:
        """Return the transposed weight in consecutive panels of 32 outputs."""
        parts = [self.weight[start : start + PANEL].T.ravel() for start in range(0, len(self.weight), PANEL)]
        return np.concatenate(parts).astype(np.float32)


def compute_value_width(dim: int, heads: int) -> int:
    """Return the columns of one head in the values."""
    return -(-(dim // heads) // STEP) * STEP


def fold_attention(attention: CausalSelfAttention, norm: nn.LayerNorm) -> dict[str, Affine]:
    """Build `query`, `key`, `value`, `out` and `folded` of models/native/model.h."""
    dim, heads = attention.out.in_features, attention.heads
    width = dim // heads
    starts = np.arange(heads)[:, None] * width
    # Even features first, so that rotation works on whole vectors.
    even_then_odd = (starts + np.r_[0:width:2, 1:width:2]).ravel()
    padded = np.full((heads, compute_value_width(dim, heads)), -1)
    padded[:, :width] = starts + np.arange(width)
    stacked = _to_float64(attention.qkv.weight)
    query, key, value = (Affine(part, np.zeros(dim)).fold_norm(norm) for part in np.split(stacked, 3))
    out = Affine.from_linear(attention.out)
    by_head = [out.weight[:, at : at + width] @ value.weight[at : at + width] for at in starts.ravel()]
    # Attention weights sum to one, so the bias of the values passes through unchanged.
    folded = Affine(np.concatenate(by_head, axis=1), out.bias + out.weight @ value.bias)
    return {
        "query": query.permute_outputs(even_then_odd).scale(math.log2(math.e) / math.sqrt(width)),
        "key": key.permute_outputs(even_then_odd),
        "value": value.permute_outputs(padded.ravel()),
        "out": out.permute_inputs(padded.ravel()),
        "folded": folded,
    }


def _to_float64(tensor: Tensor) -> Float64Array:
    array: Float64Array = tensor.detach().double().numpy()
    return array
