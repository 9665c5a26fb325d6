"""Fits the weights of a transition memory: maximum likelihood of events that are not in the memory's counts.

The likelihood is that of the mixture over all items that an evaluation ranks. Only candidates, the newest items and
their followers, differ from the model, so that the model's normalizer and the scores of the candidates suffice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.batch import History
from models.data.splits import Cases
from models.evaluation.metrics import ndcg
from models.transitions.memory import LOOKBACK, NEVER, NUM_FEATURES, TransitionMemory
from models.transitions.mixing import MAX_EXPONENT, Followers

INITIAL_WEIGHT = 0.4
"""Weight of all followers together before fitting; distances share it in the ratio 1 : 1/2 : 1/3 …"""
INITIAL_REPEAT = -4.0
"""Logarithm of the weight of a repeated item before fitting."""
MAX_ITERATIONS = 60
FLOOR = 1e-30
TOP = 10
"""Cutoff of the NDCG that chooses the scale."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of each case, each once: `items` (N, U), 0 for none.

    `slots` (N, L · (F + 1)) are the columns of `items` of the cells of `Followers`; `is_eligible` (N, U) are the items
    that an evaluation does not filter.
    """

    items: NDArray[np.int64]
    slots: NDArray[np.int64]
    is_eligible: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model on some cases: scores of `targets` (N,), of `candidates` (N, U), and of the best eligible items.

    `top_items` and `top_scores` are (N, TOP). `log_sums` (N, S) are the logarithms of the sums over the eligible items
    of the exponentials of the scores, at each scale.
    """

    targets: Tensor
    candidates: Tensor
    top_items: Tensor
    top_scores: Tensor
    log_sums: Tensor

    def select(self, rows: NDArray[np.int64]) -> "ModelView":
        return ModelView(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class GateFit:
    """Weights `gate` (2, LOOKBACK + NUM_FEATURES), the damping, the mean log Z, and mean log-likelihoods."""

    gate: Tensor
    damping: float
    log_normalizer: float
    without_memory: float
    likelihood: float

    def store(self, memory: TransitionMemory, scale: float) -> None:
        memory.gate.copy_(self.gate)
        memory.scale.fill_(scale)
        memory.damping.fill_(self.damping)
        memory.normalizer_out.zero_()
        memory.normalizer_out[0, 0] = self.damping * self.log_normalizer


def list_candidates(followers: Followers, histories: Sequence[History], *, keep_seen: bool) -> Candidates:
    """List the different candidates of each case; without `keep_seen` those of its history are not eligible."""
    cells = followers.items.reshape(len(histories), -1)
    order = np.argsort(cells, axis=1, kind="stable")
    ordered = np.take_along_axis(cells, order, axis=1)
    is_first = np.diff(ordered, axis=1, prepend=-1) != 0
    slots = np.empty_like(cells)
    np.put_along_axis(slots, order, np.cumsum(is_first, axis=1) - 1, axis=1)
    items = np.zeros((len(cells), int(slots.max()) + 1), dtype=np.int64)
    np.put_along_axis(items, slots, cells, axis=1)
    is_eligible = items > 0
    if not keep_seen:
        for row, candidates, history in zip(is_eligible, items, histories, strict=True):
            row &= ~np.isin(candidates, history)
    return Candidates(items, slots, is_eligible)


class GateFitter:
    """Fits the weights for any scale, starting from the previous result; the damping is between 0 and 1.

    `with_damping` is False for heads whose scores are counts; `with_repeats` where targets may repeat an item.
    """

    def __init__(
        self,
        followers: Followers,
        candidates: Candidates,
        cases: Cases,
        view: ModelView,
        *,
        with_damping: bool,
        with_repeats: bool,
    ) -> None:
        self._view = view
        self._probabilities = torch.from_numpy(followers.probabilities)
        self._features = torch.from_numpy(followers.features)
        self._slots = torch.from_numpy(candidates.slots)
        self._is_eligible = torch.from_numpy(candidates.is_eligible)
        self._is_target = torch.from_numpy(candidates.items == cases.targets[:, None]) & self._is_eligible
        is_top_candidate = (view.top_items.numpy()[:, :, None] == candidates.items[:, None, :]).any(-1)
        is_top_target = view.top_items.numpy() == cases.targets[:, None]
        self._is_top_rival = torch.from_numpy(~(is_top_candidate | is_top_target))
        self._with_damping, self._with_repeats = with_damping, with_repeats
        shares = 1 / torch.arange(1, LOOKBACK + 1)
        self._prior = torch.zeros(2 * (LOOKBACK + NUM_FEATURES) + 1)
        self._prior[:LOOKBACK] = (INITIAL_WEIGHT * shares / shares.sum()).log()
        self._prior[LOOKBACK + NUM_FEATURES : 2 * LOOKBACK + NUM_FEATURES] = INITIAL_REPEAT
        self._weights = nn.Parameter(self._prior.clone())

    def fit(self, column: int, scale: float, rows: NDArray[np.int64]) -> GateFit:
        """Fit to these cases at the view's scale in this column; the prior of each weight has a deviation of 1."""
        view = self._view.select(rows)
        log_sums, middle = view.log_sums[:, column], self._view.log_sums[:, column].mean()
        model_candidates = scale * view.candidates - log_sums[:, None]
        model_targets = scale * view.targets - log_sums
        bonus_scores = scale * view.candidates - middle
        probabilities, features, slots = self._probabilities[rows], self._features[rows], self._slots[rows]
        is_eligible, is_target = self._is_eligible[rows], self._is_target[rows]

        def compute_likelihood() -> Tensor:
            log_weights = self._compute_log_weights(probabilities, features, slots, is_target.shape[1])
            raised = model_candidates + nn.functional.softplus(log_weights - self._get_damping() * bonus_scores)
            added = torch.where(is_eligible, raised.exp() - model_candidates.exp(), 0).sum(1)
            best = torch.where(is_target, raised, -torch.inf).amax(1)
            targets = torch.where(is_target.any(1), best, model_targets)
            return (targets - added.log1p()).mean()

        def compute_loss() -> Tensor:
            optimizer.zero_grad()
            loss = (self._weights - self._prior).square().sum() / (2 * len(rows)) - compute_likelihood()
            loss.backward()
            return loss

        optimizer = torch.optim.LBFGS([self._weights], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")
        optimizer.step(compute_loss)
        with torch.no_grad():
            return GateFit(
                self._make_gate(),
                float(self._get_damping()),
                float(middle),
                float(model_targets.mean()),
                float(compute_likelihood()),
            )

    @torch.no_grad()
    def compute_ndcg(self, fit: GateFit, scale: float) -> float:
        """Compute NDCG@10 of all cases with the newest weights, which `fit` has."""
        scores = scale * self._view.candidates
        log_weights = self._compute_log_weights(
            self._probabilities, self._features, self._slots, self._is_target.shape[1]
        )
        raised = scores + nn.functional.softplus(log_weights - fit.damping * (scores - fit.log_normalizer))
        best = torch.where(self._is_target, raised, -torch.inf).amax(1)
        targets = torch.where(self._is_target.any(1), best, scale * self._view.targets)[:, None]
        rivals = ((raised > targets) & self._is_eligible).sum(1)
        rivals += ((scale * self._view.top_scores > targets) & self._is_top_rival).sum(1)
        return ndcg(rivals.numpy(), TOP)

    def _get_damping(self) -> Tensor:
        return self._weights[-1].sigmoid() if self._with_damping else torch.ones(())

    def _make_gate(self) -> Tensor:
        gate = self._weights[:-1].reshape(2, LOOKBACK + NUM_FEATURES).clone()
        if not self._with_repeats:
            gate[1, :LOOKBACK], gate[1, LOOKBACK:] = NEVER, 0
        return gate

    def _compute_log_weights(self, probabilities: Tensor, features: Tensor, slots: Tensor, count: int) -> Tensor:
        """Logarithm of the weight of each candidate: (N, count)."""
        gate = self._make_gate()
        exponents = features @ gate[:, LOOKBACK:].T + gate[:, :LOOKBACK].T
        weights = exponents.clamp(-MAX_EXPONENT, MAX_EXPONENT).exp()
        columns = [0] * (probabilities.shape[-1] - 1) + [1]
        cells = (weights[..., columns] * probabilities).flatten(1)
        return cells.new_zeros(len(cells), count).scatter_add(1, slots, cells).clamp_min(FLOOR).log()
