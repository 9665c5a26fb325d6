"""Which runner a model gets: native where the library is there, knows the model and answers as torch; else torch."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from models.batch import History, Times
from models.native.library import library
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.native_runner import NativeRunner
from models.runners.packed_model import knows
from models.runners.torch_runner import TorchRunner

LENGTHS = (1, 2, 7, 8, 9, 16, 17, 33, 50)
TOLERANCE = 1e-4
"""Largest difference of two runners, relative to the largest value: wrong weights give a difference of about 1."""

log = logging.getLogger(__name__)


def choose_runner(model: SequentialRecommender, device: torch.device, *, native: bool = True) -> Runner:
    """The fastest runner that may be trusted with the model; the log says which and why."""
    reference = TorchRunner(model, device)
    found, reason = _native(model, reference) if native else (None, "native code was not asked for")
    chosen = found or reference
    log.info("the model runs on %s%s", chosen.name, f": {reason}" if reason else "")
    return chosen


def _native(model: SequentialRecommender, reference: Runner) -> tuple[Runner | None, str]:
    """The native runner, or why there is none."""
    try:
        loaded = library()
    except OSError as error:
        return None, f"the native library cannot be loaded: {error}"
    if loaded is None:
        return None, "the native library was not built here"
    if not knows(model):
        return None, "the native library does not know this model"
    runner = NativeRunner(model, loaded)
    if (difference := largest_difference(model, runner, reference)) > TOLERANCE:
        return None, f"the native answers differ from torch's by {difference:.1e}"
    return runner, ""


def largest_difference(model: SequentialRecommender, runner: Runner, reference: Runner) -> float:
    """Of hidden vectors on random histories, relative to the largest value of the reference."""
    histories, times = _questions(model)
    answers = [one.encode(histories, times).hidden for one in (runner, reference)]
    worst = (answers[0] - answers[1]).abs().max() / answers[1].abs().max()
    return float(worst.nan_to_num(nan=torch.inf))


def _questions(model: SequentialRecommender) -> tuple[Sequence[History], Sequence[Times] | None]:
    rng = np.random.default_rng(0)
    lengths = [*LENGTHS, model.config.max_len, model.config.max_len + 3]
    histories = [rng.integers(1, model.embedding.num_items + 1, length) for length in lengths]
    if not model.reads_times:
        return histories, None
    return histories, [np.cumsum(rng.integers(0, 10**5, len(h))).astype(np.uint32) + 10**9 for h in histories]
