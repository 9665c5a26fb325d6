"""Models learn from the time of a request, and answer requests without one."""

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


def make_return_log(users: int = 80, length: int = 14) -> Dataset:
    """Users who return after a day choose from the first half of the catalogue, otherwise from the second."""
    rng = np.random.default_rng(0)
    returns = rng.random((users, length)) < 0.5
    times = 10**9 + np.cumsum(np.where(returns, DAY, 5), axis=1)
    step = np.broadcast_to(np.arange(length) % 10, (users, length))
    items = np.where(returns, step + 1, step + 11).astype(np.int64)
    offsets = np.arange(0, (users + 1) * length, length)
    names = [f"u{n}" for n in range(users)]
    return Dataset(tiny_catalogue(NUM_ITEMS), names, offsets, items.reshape(-1), times.reshape(-1).astype(np.uint32))


def test_model_learns_from_the_time_of_the_next_event(tmp_path: Path) -> None:
    dataset = make_return_log()
    config = dataclasses.replace(tiny_config("blossom"), periods=4, request_times=True, transitions=0)
    options = TrainingOptions(epochs=40, batch_cells=256, learning_rate=1e-2, warmup_steps=5, keep_seen=True)
    train_artifact(dataset, config, options, RunContext(torch.device("cpu"), tmp_path))
    predictor = load_artifact(tmp_path, device="cpu").predictor
    mrr_with, mrr_without = (
        evaluate(predictor, dataset, keep_seen=True, request_times=value).values["mrr@5"] for value in (True, False)
    )
    assert mrr_with > 0.9, "of two possible items, the time of the request determines which is chosen"
    assert 0.6 < mrr_without < 0.85, "both are recommended to a request without a time"
