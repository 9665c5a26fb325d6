"""Fits the weights of a transition memory: maximum likelihood of events that are not in the memory's counts.

The likelihood is that of the mixture over all items that an evaluation ranks. Only candidates, the newest items and
their followers, differ from the model, so that the model's normalizer and the scores of the candidates suffice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.batch import History
from models.data.splits import Cases
from models.transitions.memory import LOOKBACK, NEVER, NUM_FEATURES, TransitionMemory
from models.transitions.mixing import MAX_EXPONENT, Followers

INITIAL_WEIGHT = 0.4
"""Weight of all followers together before fitting; distances share it in the ratio 1 : 1/2 : 1/3 …"""
INITIAL_REPEAT = -4.0
"""Logarithm of the weight of a repeated item before fitting."""
MAX_ITERATIONS = 60
FLOOR = 1e-30


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
    """A model on some cases at some scales of its scores: (N,) `targets` and (N, U) `candidates` are scores.

    `log_all` (N, S) and `log_eligible` (N, S) are the logarithms of the sums over the catalogue, and over the items
    that an evaluation does not filter.
    """

    targets: Tensor
    candidates: Tensor
    log_all: Tensor
    log_eligible: Tensor

    def select(self, rows: NDArray[np.int64]) -> "ModelView":
        return ModelView(self.targets[rows], self.candidates[rows], self.log_all[rows], self.log_eligible[rows])


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
        self, followers: Followers, candidates: Candidates, cases: Cases, *, with_damping: bool, with_repeats: bool
    ) -> None:
        self._probabilities = torch.from_numpy(followers.probabilities)
        self._features = torch.from_numpy(followers.features)
        self._slots = torch.from_numpy(candidates.slots)
        self._is_eligible = torch.from_numpy(candidates.is_eligible)
        self._is_target = torch.from_numpy(candidates.items == cases.targets[:, None]) & self._is_eligible
        self._with_damping, self._with_repeats = with_damping, with_repeats
        shares = 1 / torch.arange(1, LOOKBACK + 1)
        self._prior = torch.zeros(2 * (LOOKBACK + NUM_FEATURES) + 1)
        self._prior[:LOOKBACK] = (INITIAL_WEIGHT * shares / shares.sum()).log()
        self._prior[LOOKBACK + NUM_FEATURES : 2 * LOOKBACK + NUM_FEATURES] = INITIAL_REPEAT
        self._weights = nn.Parameter(self._prior.clone())

    def fit(self, view: ModelView, column: int, scale: float) -> GateFit:
        """Fit to the view's scale in this column; the prior has a standard deviation of 1 for each weight."""
        log_all = view.log_all[:, column]
        model_candidates = scale * view.candidates - log_all[:, None]
        model_targets = scale * view.targets - log_all
        log_eligible = view.log_eligible[:, column] - log_all
        middle = log_all.mean()
        bonus_scores = scale * view.candidates - middle
        count = len(log_all)

        def compute_likelihood() -> Tensor:
            gains = self._compute_log_weights() - self._get_damping() * bonus_scores
            raised = model_candidates + nn.functional.softplus(gains)
            added = torch.where(self._is_eligible, raised.exp() - model_candidates.exp(), 0).sum(1)
            best = torch.where(self._is_target, raised, -torch.inf).amax(1)
            targets = torch.where(self._is_target.any(1), best, model_targets)
            return (targets - (log_eligible.exp() + added).clamp_min(FLOOR).log()).mean()

        def compute_loss() -> Tensor:
            optimizer.zero_grad()
            loss = (self._weights - self._prior).square().sum() / (2 * count) - compute_likelihood()
            loss.backward()
            return loss

        optimizer = torch.optim.LBFGS([self._weights], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")
        optimizer.step(compute_loss)
        with torch.no_grad():
            return GateFit(
                self._make_gate(),
                float(self._get_damping()),
                float(middle),
                float((model_targets - log_eligible).mean()),
                float(compute_likelihood()),
            )

    def _get_damping(self) -> Tensor:
        return self._weights[-1].sigmoid() if self._with_damping else torch.ones(())

    def _make_gate(self) -> Tensor:
        gate = self._weights[:-1].reshape(2, LOOKBACK + NUM_FEATURES).clone()
        if not self._with_repeats:
            gate[1, :LOOKBACK], gate[1, LOOKBACK:] = NEVER, 0
        return gate

    def _compute_log_weights(self) -> Tensor:
        """Logarithm of the weight of each candidate: (N, U)."""
        gate = self._make_gate()
        exponents = self._features @ gate[:, LOOKBACK:].T + gate[:, :LOOKBACK].T
        weights = exponents.clamp(-MAX_EXPONENT, MAX_EXPONENT).exp()
        columns = [0] * (self._probabilities.shape[-1] - 1) + [1]
        cells = (weights[..., columns] * self._probabilities).flatten(1)
        sums = cells.new_zeros(self._is_target.shape).scatter_add(1, self._slots, cells)
        return sums.clamp_min(FLOOR).log()
