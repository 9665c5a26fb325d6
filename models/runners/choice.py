"""Which runner a model gets: on a GPU torch with CUDA graphs, on a CPU native code where the library is there and knows
the model; either only if it answers as plain torch does, which runs everything else.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from models.batch import History, Times
from models.native.library import library
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.captures import Capture, CudaGraphs
from models.runners.cuda_runner import CudaRunner
from models.runners.native_runner import NativeRunner
from models.runners.packed_model import knows
from models.runners.torch_runner import TorchRunner

LENGTHS = (1, 2, 7, 8, 9, 16, 17, 33, 50)
TOLERANCE = 1e-4
"""Largest difference of two runners, relative to the largest value: wrong weights give a difference of about 1."""

log = logging.getLogger(__name__)


def choose_runner(model: SequentialRecommender, device: torch.device, *, native: bool = True) -> Runner:
    """The fastest runner that may be trusted with the model; plain torch where `native` is off.

    The log says which, and warns where this model would run faster if something were otherwise.
    """
    reference = TorchRunner(model, device)
    is_cuda = device.type == "cuda"
    if not native or not (is_cuda or knows(model)):
        log.info("the model runs on torch: %s", "native code does not know it" if native else "as it was asked for")
        return reference
    try:
        return recorded(model, reference, device, CudaGraphs(device)) if is_cuda else _native(model, reference)
    except (OSError, RuntimeError) as error:
        log.warning("the model runs on torch, several times slower than it could: %s", error)
        return reference


def recorded(model: SequentialRecommender, reference: Runner, device: torch.device, capture: Capture) -> Runner:
    """OSError if what is repeated is not what the reference computes."""
    return _trusted(CudaRunner(model, device, capture=capture), model, reference)


def _native(model: SequentialRecommender, reference: Runner) -> Runner:
    """OSError if there is no native library to be trusted."""
    loaded = library()
    if loaded is None:
        raise FileNotFoundError("the native library was not built (python -m models.native.build)")
    return _trusted(NativeRunner(model, loaded), model, reference)


def _trusted(runner: Runner, model: SequentialRecommender, reference: Runner) -> Runner:
    if (difference := largest_difference(model, runner, reference)) > TOLERANCE:
        raise OSError(f"the answers of {runner.name} differ from torch's by {difference:.1e}")
    log.info("the model runs on %s", runner.name)
    return runner


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
