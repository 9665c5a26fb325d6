"""Adds a transition memory to a trained model: counts, and weights of the mixture, in seconds.

Followers are counted in the training part. The weights maximize the likelihood of the validation events, of which none
is in its own count, and the test events are not read at all. The scale of the model's scores is the one with the best
NDCG@10 of the mixture: a model that is too sure leaves the memory no room.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from models.batch import NO_TIME
from models.data.dataset import Dataset
from models.data.splits import (
    Cases,
    make_cases,
    select_case_times,
    select_request_times,
    select_training_histories,
    select_training_weights,
)
from models.progress import print_line
from models.recommender import SequentialRecommender
from models.runners.choice import choose_runner
from models.runners.torch_runner import TorchRunner
from models.training.options import RunContext, TrainingOptions
from models.training.transition_gate import TOP, GateFitter, ModelView, list_candidates
from models.transitions.counting import fill_memory
from models.transitions.memory import TransitionMemory
from models.transitions.mixing import TransitionMixer

MAX_CASES, MIN_CASES = 5_000, 1_000
MAX_TOTAL_SCORES = 100_000_000
"""Most scores that are computed for the cases of a large catalogue, down to `MIN_CASES`."""
BATCH_SCORES = 4_000_000
SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
MAX_SCALE_CASES = 1_000
"""Cases that the weights of each scale are fitted to; those of the best scale are then fitted to all cases."""
MIN_COUNT = 1e-3
"""Count of an item that was never seen, for heads that score by counts."""


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
        fill_memory(memory, select_training_histories(dataset), select_training_weights(dataset))
        _fit(model.eval(), memory, dataset, context.device, keep_seen=options.keep_seen)
    model.transitions = memory.to(context.device)
    context.ranks.broadcast_(model.transitions.state_dict().values())


def _fit(
    model: SequentialRecommender, memory: TransitionMemory, dataset: Dataset, device: torch.device, *, keep_seen: bool
) -> None:
    cases = _select_cases(make_cases(dataset, "valid"), memory.num_items, keep_seen=keep_seen)
    if not len(cases):
        print_line("transition memory: off, because no validation event can be ranked; add users with three events")
        return
    followers = TransitionMixer(memory).find_followers(
        cases.histories, np.zeros((len(cases), model.config.dim), dtype=np.float32)
    )
    candidates = list_candidates(followers, cases.histories, keep_seen=keep_seen)
    is_count = model.head.scores_are_counts
    scales = (1.0,) if is_count else SCALES
    view = _view_cases(model, cases, candidates.items, scales, dataset, device, keep_seen=keep_seen)
    fitter = GateFitter(followers, candidates, cases, view, with_damping=not is_count, with_repeats=keep_seen)
    rows = np.unique(np.linspace(0, len(cases) - 1, min(MAX_SCALE_CASES, len(cases))).astype(np.int64))
    ndcgs = [fitter.compute_ndcg(fitter.fit(column, each, rows), each) for column, each in enumerate(scales)]
    column = int(np.argmax(ndcgs))
    scale = scales[column]
    fit = fitter.fit(column, scale, np.arange(len(cases)))
    fit.store(memory, scale)
    print_line(
        f"transition memory: {memory.num_followers} followers per item; mean log-likelihood of {len(cases):,} "
        f"validation events {fit.without_memory:.3f} without it, {fit.likelihood:.3f} with it, at scale {scale:g} and "
        f"damping {fit.damping:.2f}"
    )


def _select_cases(cases: Cases, num_items: int, *, keep_seen: bool) -> Cases:
    """Select cases evenly over the users, without targets that an evaluation filters."""
    limit = min(MAX_CASES, max(MIN_CASES, MAX_TOTAL_SCORES // (num_items + 1)))
    rows = np.unique(np.linspace(0, len(cases) - 1, min(limit, len(cases))).astype(np.int64)).tolist()
    rows = [row for row in rows if keep_seen or cases.targets[row] not in cases.histories[row]]
    return cases.select(np.array(rows, dtype=np.int64))


@torch.no_grad()
def _view_cases(
    model: SequentialRecommender,
    cases: Cases,
    candidates: NDArray[np.int64],
    scales: tuple[float, ...],
    dataset: Dataset,
    device: torch.device,
    *,
    keep_seen: bool,
) -> ModelView:
    """Run the model, in native code where it can; `candidates` (N, U) are items, 0 for none, which score 0."""
    runner = choose_runner(model, device) if device.type == "cpu" else TorchRunner(model, device)
    order = np.argsort([min(len(history), model.config.max_len) for history in cases.histories], kind="stable")
    size = max(1, min(256, BATCH_SCORES // (model.embedding.num_items + 1)))
    parts: list[ModelView] = []
    for rows in np.split(order, range(size, len(order), size)):
        histories = [cases.histories[row] for row in rows]
        times = select_case_times(dataset, "valid", cases.users[rows]) if model.reads_times else None
        requests = None
        if model.reads_request_times:  # every second case, as a model answers with and without them
            requests = select_request_times(dataset, "valid", cases.users[rows])
            requests[rows % 2 == 1] = NO_TIME
        scores = model.scores(runner.encode(histories, times, requests).hidden).float()
        scores = scores.clamp_min(MIN_COUNT).log() if model.head.scores_are_counts else scores.clone()
        scores[:, 0] = 0
        candidate_scores = scores.gather(1, torch.from_numpy(candidates[rows]).to(device))
        scores[:, 0] = -torch.inf
        targets = scores.gather(1, torch.from_numpy(cases.targets[rows])[:, None].to(device)).squeeze(1)
        if not keep_seen:
            for row, history in zip(scores, histories, strict=True):
                row[torch.from_numpy(history).to(device)] = -torch.inf
        top = scores.topk(min(TOP, scores.shape[1]))
        log_sums = torch.stack([(scale * scores).logsumexp(-1) for scale in scales], dim=1)
        parts.append(ModelView(targets, candidate_scores, top.indices, top.values, log_sums))
    fields = [field.name for field in dataclasses.fields(ModelView)]
    joined = ModelView(*(torch.cat([getattr(part, name) for part in parts]).cpu() for name in fields))
    return joined.select(np.argsort(order))
