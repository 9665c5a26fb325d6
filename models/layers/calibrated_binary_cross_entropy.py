"""gBCE, the loss of gSASRec (arXiv 2308.07192): binary cross-entropy calibrated for few sampled negatives.

With k negatives of |I| − 1 possible ones, plain binary cross-entropy samples an item as a negative too rarely, so the
scores of the best items all approach certainty and lose their order. gBCE weakens the positives to match:

    L = −1/(k+1) · [ log σ(s⁺)^β + Σ log(1 − σ(s⁻)) ],   β = α (t (1 − 1/α) + 1/α),   α = k / (|I| − 1)

with t between 0 (β = 1, plain) and 1 (β = α, calibrated probabilities). Because log σ^β is β · log σ, no power is
computed. Positives and all sums use float64, in which log σ of a high score does not round to 0. Gradients are computed
in the forward pass, chunk by chunk, as in models/layers/candidate_cross_entropy.py.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.candidate_cross_entropy import MAX_CELLS


def compute_positive_power(negatives: int, num_items: int, calibration: float) -> float:
    """Compute β for k = `negatives` and t = `calibration`; with α cancelled it is t (α − 1) + 1."""
    sampled = negatives / max(1, num_items - 1)
    return calibration * (sampled - 1.0) + 1.0


def calibrated_binary_cross_entropy(
    hidden: Tensor,
    negatives: Tensor,
    target_rows: Tensor,
    *,
    collisions: Tensor,
    ids: Tensor,
    beta: float,
    token_weights: Tensor | None = None,
    max_cells: int = MAX_CELLS,
) -> Tensor:
    """Compute the mean of L over tokens, weighted or not; all share the negatives (the paper samples k per token).

    Args:
        hidden: (N, D), one row per token.
        negatives: (k, D) vectors of the negatives.
        target_rows: (N, D) vectors of the tokens' targets.
        collisions: (N,) int64, the target of each token; a negative equal to the target is excluded from its sum.
        ids: (k,) int64, the item of each negative.
        beta: power of the positives, from `compute_positive_power`.
        token_weights: (N,) weights of the tokens in the mean, with a sum above 0; no gradient.
        max_cells: maximum number of scores in one chunk; a chunk has at least one token.

    Returns:
        a scalar, differentiable with respect to hidden, negatives and target_rows.

    """
    inputs = (hidden, negatives, target_rows, collisions, ids, beta, token_weights, max_cells)
    loss: Tensor = _CalibratedBinaryCrossEntropy.apply(*inputs)  # type: ignore[no-untyped-call]
    return loss


class _CalibratedBinaryCrossEntropy(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        hidden: Tensor,
        negatives: Tensor,
        target_rows: Tensor,
        collisions: Tensor,
        ids: Tensor,
        beta: float,
        token_weights: Tensor | None,
        max_cells: int,
    ) -> Tensor:
        exact = torch.promote_types(hidden.dtype, torch.float32)  # half precision is not accurate enough for sums
        grad_hidden = torch.empty_like(hidden)
        grad_negatives = torch.zeros_like(negatives, dtype=exact)
        grad_targets = torch.empty_like(target_rows)
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        step = max(1, max_cells // max(1, len(negatives)))
        for start in range(0, len(hidden), step):
            rows = slice(start, start + step)
            h, target = hidden[rows], target_rows[rows]
            positive = (h.double() * target.double()).sum(-1)
            scores = (h @ negatives.T).to(exact)
            scores.masked_fill_(collisions[rows, None] == ids, -torch.inf)
            if token_weights is None:
                total -= beta * F.logsigmoid(positive).sum() + F.logsigmoid(-scores).sum(dtype=torch.float64)
            else:
                logs = beta * F.logsigmoid(positive) + F.logsigmoid(-scores).sum(-1, dtype=torch.float64)
                total -= (logs * token_weights[rows]).sum()
            push = scores.sigmoid_().to(hidden.dtype)  # the gradient of −log(1 − σ(s⁻))
            pull = (-beta * (-positive).sigmoid())[:, None].to(hidden.dtype)  # the gradient of −β log σ(s⁺)
            if token_weights is not None:
                shares = token_weights[rows, None].to(hidden.dtype)
                push, pull = push * shares, pull * shares
            grad_hidden[rows] = push @ negatives + pull * target
            grad_negatives += push.T @ h
            grad_targets[rows] = pull * h
        ctx.save_for_backward(grad_hidden, grad_negatives.to(negatives.dtype), grad_targets)
        weight_sum = len(hidden) if token_weights is None else float(token_weights.sum())
        ctx.terms = weight_sum * (len(negatives) + 1)
        mean: Tensor = total / ctx.terms
        return mean.to(exact)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0] / ctx.terms
        hidden, negatives, target_rows = ctx.saved_tensors
        return hidden * scale, negatives * scale, target_rows * scale, None, None, None, None, None
