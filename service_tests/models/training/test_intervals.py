"""Intervals teach what items alone do not, and a history without times still gets an answer of the trained kind."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from models.artifact import load_artifact
from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from models.training.options import TrainingOptions
from models.training.pipeline import train_artifact
from service_tests.support.artifacts import tiny_catalogue, tiny_config

NUM_ITEMS, DAY = 20, 86_400


def log_that_intervals_decide(users: int = 80, length: int = 14) -> Dataset:
    """After a pause of a day comes the first half of the catalogue's walk, in the same minute the second."""
    rng = np.random.default_rng(0)
    paused = rng.random((users, length)) < 0.5
    times = 10**9 + np.cumsum(np.where(paused, DAY, 5), axis=1)
    step = np.broadcast_to(np.arange(length) % 10, (users, length))
    after = np.concatenate((paused[:, :1], paused[:, :-1]), axis=1)
    items = np.where(after, step + 1, step + 11).astype(np.int64)
    offsets = np.arange(0, (users + 1) * length, length)
    names = [f"u{n}" for n in range(users)]
    return Dataset(tiny_catalogue(NUM_ITEMS), names, offsets, items.reshape(-1), times.reshape(-1).astype(np.uint32))


def test_it_learns_from_intervals_what_nothing_else_tells(tmp_path: Path) -> None:
    data = log_that_intervals_decide()
    options = TrainingOptions(epochs=40, batch_cells=256, learning_rate=1e-2, warmup_steps=5)
    found = []
    for name, taught in (("with", data), ("without", dataclasses.replace(data, times=None))):
        train_artifact(taught, tiny_config("blossom"), options, torch.device("cpu"), tmp_path / name)
        predictor = load_artifact(tmp_path / name, device="cpu").predictor
        found.append(evaluate(predictor, taught, keep_seen=True).values["mrr@5"])
    knows, does_not = found
    assert knows > 0.9, "of two items that can come, the interval tells which"
    assert does_not < 0.85
