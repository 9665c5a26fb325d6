"""Models learn from intervals, and answer histories without times."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from service_tests.support.artifacts import tiny_config
from service_tests.support.timed_logs import DAY, SHAPE, make_timed_log, shift_right, train_predictor

pytestmark = pytest.mark.slow


def make_interval_log() -> Dataset:
    """After a day's pause the next item is from the first half of the catalogue, otherwise the second."""
    is_pause = np.random.default_rng(0).random(SHAPE) < 0.5
    return make_timed_log(np.cumsum(np.where(is_pause, DAY, 5), axis=1), shift_right(is_pause))


def test_model_learns_from_intervals(tmp_path: Path) -> None:
    data = make_interval_log()
    mrr = []
    for name, dataset in (("with", data), ("without", dataclasses.replace(data, times=None))):
        predictor = train_predictor(tmp_path / name, dataset, tiny_config("blossom"))
        mrr.append(evaluate(predictor, dataset, keep_seen=True).values["mrr@5"])
    with_times, without_times = mrr
    assert with_times > 0.9, "of two possible items, the interval determines which comes next"
    assert without_times < 0.85
