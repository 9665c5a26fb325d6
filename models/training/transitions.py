"""Adds a transition memory to a trained model: counts, normalizer and mixture weights, in seconds.

Followers are counted in the training part. The mixture weights maximize the likelihood of the validation events, of
which none is in its own count, and the test events are not read at all. The normalizer is fitted on other histories,
so that the mixture weights see errors of the usual size.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.batch import History
from models.data.dataset import Dataset
from models.data.splits import Cases, make_cases, select_case_times, select_training_histories
from models.progress import print_line
from models.recommender import SequentialRecommender
from models.runners.torch_runner import TorchRunner
from models.training.options import RunContext, TrainingOptions
from models.transitions.counting import fill_memory
from models.transitions.memory import HIDDEN_UNITS, LOOKBACK, NUM_FEATURES, TransitionMemory
from models.transitions.mixing import MAX_EXPONENT, Followers, TransitionMixer

MAX_CASES, MIN_CASES = 10_000, 1_000
MAX_TOTAL_SCORES = 200_000_000
"""Most scores that are computed for the cases of a large catalogue, down to `MIN_CASES`."""
BATCH_SCORES = 4_000_000
NORMALIZER_STEPS, NORMALIZER_BATCH = 500, 512
INITIAL_WEIGHT = 0.4
"""Weight of all followers together before fitting; distances share it in the ratio 1 : 1/2 : 1/3 …"""
SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3)
MAX_SCALE_CASES = 1_000
MIN_COUNT = 1e-3
"""Count of an item that was never seen, for heads that score by counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelView:
    """A model on some cases: `hidden` (N, dim), scores of the targets, and logarithms of sums over the catalogue.

    `log_eligible` leaves out the items that an evaluation filters; `log_largest` is the largest probability.
    """

    hidden: Tensor
    targets: Tensor
    log_all: Tensor
    log_eligible: Tensor
    log_largest: Tensor


def add_transitions(
    model: SequentialRecommender,
    dataset: Dataset,
    num_followers: int,
    options: TrainingOptions,
    context: RunContext,
) -> None:
    """Give the model a memory, in place; the first rank fits it and the other ranks receive a copy."""
    model.config = dataclasses.replace(model.config, transitions=num_followers)
    memory = TransitionMemory(model.embedding.num_items, model.config.dim, num_followers)
    if context.ranks.is_first:
        fill_memory(memory, select_training_histories(dataset))
        _fit(model.eval(), memory, dataset, context.device, keep_seen=options.keep_seen)
    model.transitions = memory.to(context.device)
    context.ranks.broadcast_(model.transitions.state_dict().values())


def _fit(
    model: SequentialRecommender, memory: TransitionMemory, dataset: Dataset, device: torch.device, *, keep_seen: bool
) -> None:
    cases = _select_cases(make_cases(dataset, "valid"), memory.num_items, keep_seen=keep_seen)
    if not len(cases):
        raise ValueError("a transition memory needs at least one user with three different events")
    memory.scale.fill_(_find_scale(model, cases, dataset, device, keep_seen=keep_seen))
    earlier = Cases(
        cases.users, [history[:-1] if len(history) > 1 else history for history in cases.histories], cases.targets
    )
    sample = _view_cases(model, earlier, dataset, device, memory.scale.item(), keep_seen=True)
    fit_normalizer(memory, sample.hidden, torch.stack((sample.log_all, sample.log_largest), dim=1))
    view = _view_cases(model, cases, dataset, device, memory.scale.item(), keep_seen=keep_seen)
    followers = TransitionMixer(memory).find_followers(cases.histories, view.hidden.numpy())
    before, after = fit_gate(memory, followers, cases, view, keep_seen=keep_seen)
    print_line(
        f"transition memory: {memory.num_followers} followers per item; mean log-likelihood of {len(cases):,} "
        f"validation events {before:.3f} without it, {after:.3f} with it"
    )


def _select_cases(cases: Cases, num_items: int, *, keep_seen: bool) -> Cases:
    """Select cases evenly over the users, without targets that an evaluation filters."""
    limit = min(MAX_CASES, max(MIN_CASES, MAX_TOTAL_SCORES // (num_items + 1)))
    rows = np.unique(np.linspace(0, len(cases) - 1, min(limit, len(cases))).astype(np.int64)).tolist()
    rows = [row for row in rows if keep_seen or cases.targets[row] not in cases.histories[row]]
    return Cases(cases.users[rows], [cases.histories[row] for row in rows], cases.targets[rows])


def _find_scale(
    model: SequentialRecommender, cases: Cases, dataset: Dataset, device: torch.device, *, keep_seen: bool
) -> float:
    """Find the scale of the scores at which the model alone gives the targets the highest likelihood."""
    if model.head.scores_are_counts:
        return 1.0
    rows = np.unique(np.linspace(0, len(cases) - 1, min(MAX_SCALE_CASES, len(cases))).astype(np.int64)).tolist()
    sample = Cases(cases.users[rows], [cases.histories[row] for row in rows], cases.targets[rows])

    def compute_likelihood(scale: float) -> float:
        view = _view_cases(model, sample, dataset, device, scale, keep_seen=keep_seen)
        return float((view.targets - view.log_eligible).mean())

    return max(SCALES, key=compute_likelihood)


@torch.no_grad()
def _view_cases(
    model: SequentialRecommender, cases: Cases, dataset: Dataset, device: torch.device, scale: float, *, keep_seen: bool
) -> ModelView:
    runner = TorchRunner(model, device)
    order = np.argsort([min(len(history), model.config.max_len) for history in cases.histories], kind="stable")
    size = max(1, min(256, BATCH_SCORES // (model.embedding.num_items + 1)))
    parts: list[tuple[Tensor, ...]] = []
    for rows in np.split(order, range(size, len(order), size)):
        histories = [cases.histories[row] for row in rows]
        times = None
        if model.reads_times:
            all_times = select_case_times(dataset, "valid", cases.users[rows])
            times = [row[: len(history)] for row, history in zip(all_times, histories, strict=True)]
        hidden = runner.encode(histories, times).hidden
        scores = model.scores(hidden).float()
        scores = scores.clamp_min(MIN_COUNT).log() if model.head.scores_are_counts else scale * scores
        scores[:, 0] = -torch.inf
        targets = scores.gather(-1, torch.from_numpy(cases.targets[rows])[:, None].to(device)).squeeze(-1)
        log_all, largest = scores.logsumexp(-1), scores.amax(-1)
        if not keep_seen:
            for row, history in zip(scores, histories, strict=True):
                row[torch.from_numpy(history).to(device)] = -torch.inf
        parts.append((hidden, targets, log_all, scores.logsumexp(-1), largest - log_all))
    original_order = torch.from_numpy(np.argsort(order))
    return ModelView(*(torch.cat(column).float().cpu()[original_order] for column in zip(*parts, strict=True)))


def fit_normalizer(memory: TransitionMemory, hidden: Tensor, estimates: Tensor) -> None:
    """Fit the network from `hidden` (N, dim) to `estimates` (N, NUM_ESTIMATES) by least squares."""
    mean, scale = hidden.mean(0), hidden.std(0, correction=0).clamp_min(1e-6)
    middle, spread = estimates.mean(0), estimates.std(0, correction=0).clamp_min(1e-6)
    inputs, outputs = (hidden - mean) / scale, (estimates - middle) / spread
    generator = torch.Generator().manual_seed(0)
    inner = nn.Parameter(torch.randn(HIDDEN_UNITS, hidden.shape[1], generator=generator) / hidden.shape[1] ** 0.5)
    inner_bias = nn.Parameter(torch.zeros(HIDDEN_UNITS))
    outer = nn.Parameter(torch.zeros(outputs.shape[1], HIDDEN_UNITS))
    outer_bias = nn.Parameter(torch.zeros(outputs.shape[1]))
    optimizer = torch.optim.AdamW([inner, inner_bias, outer, outer_bias], lr=1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, NORMALIZER_STEPS)
    for _ in range(NORMALIZER_STEPS):
        rows = torch.randint(len(inputs), (min(NORMALIZER_BATCH, len(inputs)),), generator=generator)
        predicted = (inputs[rows] @ inner.T + inner_bias).relu() @ outer.T + outer_bias
        loss = (predicted - outputs[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scaled = inner / scale
        memory.normalizer_in.copy_(torch.cat((scaled, (inner_bias - scaled @ mean)[:, None]), dim=1))
        memory.normalizer_out.copy_(
            torch.cat((outer * spread[:, None], (outer_bias * spread + middle)[:, None]), dim=1)
        )


def fit_gate(
    memory: TransitionMemory, followers: Followers, cases: Cases, view: ModelView, *, keep_seen: bool
) -> tuple[float, float]:
    """Fit the mixture weights; return the mean log-likelihood of the targets without and with the memory.

    The prior keeps the weights of a small log near their initial values: standard deviation 1 for each.
    """
    target_mass, eligible_mass = (
        torch.from_numpy(mass).double() for mass in _sum_followers(followers, cases, keep_seen=keep_seen)
    )
    features = torch.from_numpy(followers.features).double()
    log_normalizers = torch.from_numpy(followers.log_normalizers).double()
    model_target = (view.targets.double() - log_normalizers).exp()
    model_mass = (view.log_eligible.double() - log_normalizers).exp()
    shares = 1 / torch.arange(1, LOOKBACK + 1, dtype=torch.float64)
    initial = torch.cat(
        ((INITIAL_WEIGHT * shares / shares.sum()).log(), torch.zeros(NUM_FEATURES, dtype=torch.float64))
    )
    gate = nn.Parameter(initial.clone())

    def compute_mean_log_likelihood() -> Tensor:
        exponents = gate[:LOOKBACK] + features @ gate[LOOKBACK:]
        weights = exponents.clamp(-MAX_EXPONENT, MAX_EXPONENT).exp()
        likelihood = (model_target + (weights * target_mass).sum(-1)).clamp_min(1e-30).log()
        return (likelihood - (model_mass + (weights * eligible_mass).sum(-1)).log()).mean()

    def compute_loss() -> Tensor:
        optimizer.zero_grad()
        loss = (gate - initial).square().sum() / (2 * len(cases)) - compute_mean_log_likelihood()
        loss.backward()
        return loss

    optimizer = torch.optim.LBFGS([gate], max_iter=200, line_search_fn="strong_wolfe")
    optimizer.step(compute_loss)
    with torch.no_grad():
        memory.gate.copy_(gate)
        without = (view.targets - view.log_eligible).double().mean()
        return float(without), float(compute_mean_log_likelihood())


def _sum_followers(
    followers: Followers, cases: Cases, *, keep_seen: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the probabilities (N, LOOKBACK) of the targets, and the sums of those of all eligible followers."""
    is_target = followers.items == cases.targets[:, None, None]
    is_eligible = np.ones(followers.items.shape, dtype=bool)
    if not keep_seen:
        for mask, items, history in zip(is_eligible, followers.items, cases.histories, strict=True):
            mask[:] = _find_missing(items, history)
    return (followers.probabilities * is_target).sum(-1), (followers.probabilities * is_eligible).sum(-1)


def _find_missing(items: NDArray[np.int64], history: History) -> NDArray[np.bool_]:
    return ~np.isin(items, history)
