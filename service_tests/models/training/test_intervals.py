"""Models learn from intervals, and answer histories without times."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import train_artifact
from service_tests.support.artifacts import tiny_catalogue, tiny_config

pytestmark = pytest.mark.slow

NUM_ITEMS, DAY = 20, 86_400


def make_interval_log(users: int = 80, length: int = 14) -> Dataset:
    """After a day's pause the next item is from the first half of the catalogue, otherwise the second."""
    rng = np.random.default_rng(0)
    paused = rng.random((users, length)) < 0.5
    times = 10**9 + np.cumsum(np.where(paused, DAY, 5), axis=1)
    step = np.broadcast_to(np.arange(length) % 10, (users, length))
    after_pause = np.concatenate((paused[:, :1], paused[:, :-1]), axis=1)
    items = np.where(after_pause, step + 1, step + 11).astype(np.int64)
    offsets = np.arange(0, (users + 1) * length, length)
    names = [f"u{n}" for n in range(users)]
    return Dataset(tiny_catalogue(NUM_ITEMS), names, offsets, items.reshape(-1), times.reshape(-1).astype(np.uint32))


def test_model_learns_from_intervals(tmp_path: Path) -> None:
    data = make_interval_log()
    options = TrainingOptions(epochs=40, batch_cells=256, learning_rate=1e-2, warmup_steps=5, keep_seen=True)
    mrr = []
    for name, dataset in (("with", data), ("without", dataclasses.replace(data, times=None))):
        train_artifact(dataset, tiny_config("blossom"), options, RunContext(torch.device("cpu"), tmp_path / name))
        predictor = load_artifact(tmp_path / name, device="cpu").predictor
        mrr.append(evaluate(predictor, dataset, keep_seen=True).values["mrr@5"])
    with_times, without_times = mrr
    assert with_times > 0.9, "of two possible items, the interval determines which comes next"
    assert without_times < 0.85
