"""Models learn what is popular in a period, and keep the periods of their log."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import train_artifact
from service_tests.support.artifacts import tiny_catalogue, tiny_config

pytestmark = pytest.mark.slow

NUM_ITEMS, YEAR = 20, 365 * 86_400


def make_drifting_log(users: int = 80, length: int = 14) -> Dataset:
    """After an event of the first year the next item is from the first half of the catalogue, else from the second."""
    rng = np.random.default_rng(0)
    is_first_year = rng.random((users, length)) < 0.5
    times = 10**9 + np.where(is_first_year, 0, YEAR) + rng.integers(0, YEAR, (users, length))
    step = np.broadcast_to(np.arange(length) % 10, (users, length))
    previous = np.concatenate((is_first_year[:, :1], is_first_year[:, :-1]), axis=1)
    items = np.where(previous, step + 1, step + 11).astype(np.int64)
    offsets = np.arange(0, (users + 1) * length, length)
    names = [f"u{n}" for n in range(users)]
    return Dataset(tiny_catalogue(NUM_ITEMS), names, offsets, items.reshape(-1), times.reshape(-1).astype(np.uint32))


def make_config(periods: int) -> ModelConfig:
    return dataclasses.replace(tiny_config("blossom"), intervals=False, periods=periods)


def train_and_measure(folder: Path, dataset: Dataset, periods: int) -> float:
    options = TrainingOptions(epochs=40, batch_cells=256, learning_rate=1e-2, warmup_steps=5, keep_seen=True)
    train_artifact(dataset, make_config(periods), options, RunContext(torch.device("cpu"), folder))
    return evaluate(load_artifact(folder, device="cpu").predictor, dataset, keep_seen=True).values["mrr@5"]


def test_model_learns_from_periods(tmp_path: Path) -> None:
    """Both stages of training have the same periods, and the artifact keeps them."""
    data = make_drifting_log()
    assert train_and_measure(tmp_path / "with", data, 4) > 0.9, "of two possible items, the period determines the next"
    assert train_and_measure(tmp_path / "without", data, 0) < 0.85
