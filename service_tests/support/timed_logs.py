"""Synthetic logs in which times decide between two items, and short trainings on them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import load_artifact
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.predictor import Predictor
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import train_artifact
from service_tests.support.artifacts import tiny_catalogue

NUM_ITEMS, DAY, YEAR = 20, 86_400, 365 * 86_400
SHAPE = (80, 14)
"""Users, and events of each."""
OPTIONS = TrainingOptions(epochs=40, batch_cells=256, learning_rate=1e-2, warmup_steps=5, keep_seen=True)


def make_timed_log(seconds: NDArray[np.int64], is_first_half: NDArray[np.bool_]) -> Dataset:
    """Items in catalogue order, from the first half of the catalogue or else from the second; both of SHAPE.

    `seconds` count from September 2001.
    """
    num_users, length = SHAPE
    step = np.broadcast_to(np.arange(length) % (NUM_ITEMS // 2), SHAPE)
    items = np.where(is_first_half, step + 1, step + 1 + NUM_ITEMS // 2).astype(np.int64)
    offsets = np.arange(0, (num_users + 1) * length, length)
    times = (10**9 + seconds).astype(np.uint32)
    names = [f"u{n}" for n in range(num_users)]
    return Dataset(tiny_catalogue(NUM_ITEMS), names, offsets, items.reshape(-1), times.reshape(-1))


def shift_right(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The flag of the previous event of each event; the first has its own."""
    return np.concatenate((flags[:, :1], flags[:, :-1]), axis=1)


def train_predictor(folder: Path, dataset: Dataset, config: ModelConfig) -> Predictor:
    train_artifact(dataset, config, OPTIONS, RunContext(torch.device("cpu"), folder))
    return load_artifact(folder, device="cpu").predictor
