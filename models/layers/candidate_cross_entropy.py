"""Softmax cross-entropy over many candidates in chunks, so that memory does not grow with tokens × candidates.

One function serves the full softmax (candidates = the catalogue) and the sampled one (candidates = negatives): the
target's score is computed separately in both, and excluded from the candidates. Gradients are computed in the forward
pass, chunk by chunk, while the chunk's probabilities exist: three matrix products instead of four, and no tensor of
size tokens × candidates is saved for the backward pass.
"""

from typing import Any

import torch
from torch import Tensor

MAX_CELLS = 4_000_000
"""Maximum number of scores in one chunk: 16 MB of float32, about the size of a CPU's caches."""


def candidate_cross_entropy(
    hidden: Tensor,
    candidates: Tensor,
    target_rows: Tensor,
    *,
    collisions: Tensor,
    ids: Tensor | None = None,
    bias: Tensor | None = None,
    token_weights: Tensor | None = None,
    max_cells: int = MAX_CELLS,
) -> Tensor:
    """Compute the mean, or the weighted mean, over tokens of −log( e^t / (e^t + Σ_c e^s_c) ).

    t = h·target row, and s_c = h·candidate c + bias_c.

    Args:
        hidden: (N, D), one row per token.
        candidates: (C, D) vectors of the candidates.
        target_rows: (N, D) vectors of the tokens' targets.
        collisions: (N,) int64, the target of each token; a candidate equal to the target is excluded from the sum.
        ids: (C,) int64, the candidate of each row; without it row c is candidate c, and −1 excludes none.
        bias: (C,) added to the scores of the candidates (the log-Q correction); no gradient.
        token_weights: (N,) weights of the tokens in the mean, float32, with a sum above 0; no gradient.
        max_cells: maximum number of scores in one chunk; a chunk has at least one token.

    Returns:
        a scalar, differentiable with respect to hidden, candidates and target_rows.

    """
    inputs = (hidden, candidates, target_rows, collisions, ids, bias, token_weights, max_cells)
    loss: Tensor = _CandidateCrossEntropy.apply(*inputs)  # type: ignore[no-untyped-call]
    return loss


def _mask_collisions(scores: Tensor, collisions: Tensor, ids: Tensor | None) -> None:
    """Write −inf in place where a candidate is the target of its row; `collisions` (step, 1) are columns or ids."""
    if ids is None:
        columns = collisions.clamp_min(0)
        unchanged = scores.gather(1, columns)
        scores.scatter_(1, columns, unchanged.masked_fill_(collisions >= 0, -torch.inf))
    else:
        scores.masked_fill_(collisions == ids, -torch.inf)


class _CandidateCrossEntropy(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        hidden: Tensor,
        candidates: Tensor,
        target_rows: Tensor,
        collisions: Tensor,
        ids: Tensor | None,
        bias: Tensor | None,
        token_weights: Tensor | None,
        max_cells: int,
    ) -> Tensor:
        tokens = len(hidden)
        needs_grad = any(ctx.needs_input_grad)
        grad_hidden = torch.empty_like(hidden)
        grad_candidates = torch.zeros_like(candidates, dtype=torch.float32)
        grad_targets = torch.empty_like(target_rows)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        step = max(1, max_cells // max(1, len(candidates)))
        for start in range(0, tokens, step):
            rows = slice(start, start + step)
            h, target = hidden[rows], target_rows[rows]
            target_score = (h.float() * target.float()).sum(-1)
            scores = (h @ candidates.T).float()
            if bias is not None:
                scores += bias
            _mask_collisions(scores, collisions[rows, None], ids)
            # One pass of exp over the chunk; the softmax's factor 1 / sum is applied to the smaller (step, D) operands.
            top = torch.maximum(scores.amax(-1), target_score)
            weights = scores.sub_(top[:, None]).exp_()
            target_weight = (target_score - top).exp()
            weight_sum = weights.sum(-1) + target_weight
            losses = weight_sum.log() + top - target_score
            total += (losses if token_weights is None else losses * token_weights[rows]).sum()
            if needs_grad:
                weights = weights.to(hidden.dtype)
                inverse_sum = (1.0 / weight_sum)[:, None].to(hidden.dtype)
                error = (target_weight / weight_sum - 1.0)[:, None].to(hidden.dtype)  # of the target's score
                if token_weights is not None:
                    shares = token_weights[rows, None].to(hidden.dtype)
                    inverse_sum, error = inverse_sum * shares, error * shares
                grad_hidden[rows] = (weights @ candidates).mul_(inverse_sum).addcmul_(error, target)
                grad_candidates.add_(weights.T @ (h * inverse_sum))
                grad_targets[rows] = error * h
        ctx.save_for_backward(grad_hidden, grad_candidates.to(candidates.dtype), grad_targets)
        ctx.weight_sum = tokens if token_weights is None else float(token_weights.sum())
        mean: Tensor = total / ctx.weight_sum
        return mean

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0] / ctx.weight_sum
        hidden, candidates, target_rows = ctx.saved_tensors
        return hidden * scale, candidates * scale, target_rows * scale, None, None, None, None, None
