"""Models learn what is popular in a period, and keep the periods of their log."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from service_tests.support.artifacts import tiny_config
from service_tests.support.timed_logs import SHAPE, YEAR, make_timed_log, shift_right, train_predictor

pytestmark = pytest.mark.slow


def make_drifting_log() -> Dataset:
    """After an event of the first year the next item is from the first half of the catalogue, else from the second."""
    rng = np.random.default_rng(0)
    is_first_year = rng.random(SHAPE) < 0.5
    seconds = np.where(is_first_year, 0, YEAR) + rng.integers(0, YEAR, SHAPE)
    return make_timed_log(seconds, shift_right(is_first_year))


def train_and_measure(folder: Path, dataset: Dataset, periods: int) -> float:
    config = dataclasses.replace(tiny_config("blossom"), intervals=False, periods=periods)
    return evaluate(train_predictor(folder, dataset, config), dataset, keep_seen=True).values["mrr@5"]


def test_model_learns_from_periods(tmp_path: Path) -> None:
    """Both stages of training have the same periods, and the artifact keeps them."""
    data = make_drifting_log()
    assert train_and_measure(tmp_path / "with", data, 4) > 0.9, "of two possible items, the period determines the next"
    assert train_and_measure(tmp_path / "without", data, 0) < 0.85
