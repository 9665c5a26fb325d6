"""Models learn from the time of a request, and answer requests without one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from service_tests.support.artifacts import tiny_config
from service_tests.support.timed_logs import DAY, SHAPE, make_timed_log, train_predictor

pytestmark = pytest.mark.slow


def make_return_log() -> Dataset:
    """Users who return after a day choose from the first half of the catalogue, otherwise from the second."""
    is_return = np.random.default_rng(0).random(SHAPE) < 0.5
    return make_timed_log(np.cumsum(np.where(is_return, DAY, 5), axis=1), is_return)


def test_model_learns_from_the_time_of_the_next_event(tmp_path: Path) -> None:
    dataset = make_return_log()
    config = dataclasses.replace(tiny_config("blossom"), periods=4, request_times=True, transitions=0)
    predictor = train_predictor(tmp_path, dataset, config)
    mrr_with, mrr_without = (
        evaluate(predictor, dataset, keep_seen=True, request_times=value).values["mrr@5"] for value in (True, False)
    )
    assert mrr_with > 0.9, "of two possible items, the time of the request determines which is chosen"
    assert 0.6 < mrr_without < 0.85, "both are recommended to a request without a time"
