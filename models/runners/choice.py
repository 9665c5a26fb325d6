"""Chooses the runner of a model: CUDA graphs on a GPU, native code on a CPU, or plain torch.

The first two are used only where they agree with torch, native code only for models that the library supports.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from models.batch import History, Times
from models.native.library import load_library
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.captures import Capture, CudaGraphs
from models.runners.cuda_runner import CudaRunner
from models.runners.native_runner import NativeRunner
from models.runners.packed_model import is_supported
from models.runners.torch_runner import TorchRunner

LENGTHS = (1, 2, 7, 8, 9, 16, 17, 33, 50)
TOLERANCE = 1e-4
"""Largest difference of two runners, relative to the largest value: wrong weights cause a difference of about 1."""

log = logging.getLogger(__name__)


def choose_runner(model: SequentialRecommender, device: torch.device, *, native: bool = True) -> Runner:
    """Return the fastest runner that agrees with torch; plain torch if `native` is off.

    Logs the choice, with a warning where a fixable problem makes this model run slower.
    """
    reference = TorchRunner(model, device)
    is_cuda = device.type == "cuda"
    if not native or not (is_cuda or is_supported(model)):
        reason = "native code does not support it" if native else "native code is off"
        log.info("the model runs on torch: %s", reason)
        return reference
    try:
        if is_cuda:
            return build_cuda_runner(model, reference, device, CudaGraphs(device))
        return _build_native_runner(model, reference)
    except (OSError, RuntimeError) as error:
        log.warning("the model runs on torch, several times slower: %s", error)
        return reference


def build_cuda_runner(
    model: SequentialRecommender, reference: Runner, device: torch.device, capture: Capture
) -> Runner:
    """Raise OSError if replays do not agree with the reference."""
    return _verify(CudaRunner(model, device, capture=capture), model, reference)


def _build_native_runner(model: SequentialRecommender, reference: Runner) -> Runner:
    """Raise OSError without a native library, or if it does not agree with the reference."""
    library = load_library()
    if library is None:
        raise FileNotFoundError("the native library is not built (python -m models.native.build)")
    return _verify(NativeRunner(model, library), model, reference)


def _verify(runner: Runner, model: SequentialRecommender, reference: Runner) -> Runner:
    if (difference := compare_runners(model, runner, reference)) > TOLERANCE:
        raise OSError(f"{runner.name} differs from torch by {difference:.1e}")
    log.info("the model runs on %s", runner.name)
    return runner


def compare_runners(model: SequentialRecommender, runner: Runner, reference: Runner) -> float:
    """Compute the largest difference of hidden vectors on random histories, relative to the reference's maximum."""
    histories, times = _generate_histories(model)
    requests = None if times is None else np.array([seconds[-1] + 500 for seconds in times])
    hidden, expected = (each.encode(histories, times, requests).hidden for each in (runner, reference))
    worst = (hidden - expected).abs().max() / expected.abs().max()
    return float(worst.nan_to_num(nan=torch.inf))


def _generate_histories(model: SequentialRecommender) -> tuple[Sequence[History], Sequence[Times] | None]:
    rng = np.random.default_rng(0)
    lengths = [*LENGTHS, model.config.max_len, model.config.max_len + 3]
    histories = [rng.integers(1, model.embedding.num_items + 1, length) for length in lengths]
    if not model.reads_times:
        return histories, None
    starts = rng.integers(10**9, 17 * 10**8, len(histories))  # years apart, for models that know periods
    times = [first + np.cumsum(rng.integers(0, 10**5, len(h))) for first, h in zip(starts, histories, strict=True)]
    return histories, [seconds.astype(np.uint32) for seconds in times]
