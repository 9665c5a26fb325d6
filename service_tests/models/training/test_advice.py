"""Sizes suggested by a log, and the linear schedule."""

import dataclasses

import numpy as np
import pytest

from models.data.dataset import Dataset
from models.presets import preset
from models.training.advice import advise
from models.training.options import TrainingOptions
from service_tests.support.artifacts import tiny_catalogue


def make_dataset(lengths: list[int]) -> Dataset:
    """Users with these numbers of training events, and two held-out ones each."""
    offsets = np.concatenate(([0], np.cumsum([length + 2 for length in lengths])))
    items = np.random.default_rng(0).integers(1, 61, offsets[-1])
    return Dataset(tiny_catalogue(), [f"u{n}" for n in range(len(lengths))], offsets, items)


@pytest.mark.parametrize(
    ("lengths", "max_len", "dropout"),
    [
        ([6] * 100, 50, 0.5),
        ([20] * 100, 50, 0.3),
        ([60] * 100, 100, 0.2),
        ([700] * 100, 200, 0.2),
        ([6] * 200 + [199], 50, 0.5),
    ],
)
def test_suggested_sizes_follow_history_lengths(lengths: list[int], max_len: int, dropout: float) -> None:
    advice = advise(make_dataset(lengths), TrainingOptions(), 200)
    assert advice.sizes == {"max_len": max_len, "dropout": dropout}
    assert f"max_len {max_len}: 99 % of users" in advice.reasons[0]


def test_reasons_mention_the_loss() -> None:
    assert "full softmax, 60 items" in advise(make_dataset([6]), TrainingOptions(), 200).reasons[2]
    assert "30 negatives per batch" in advise(make_dataset([6]), TrainingOptions(num_negatives=30), 200).reasons[2]


def test_size_that_is_set_has_no_reason() -> None:
    advice = advise(make_dataset([6]), TrainingOptions(), 200)
    suggested = advice.apply_to(preset("sasrec"))
    assert advice.list_reasons(suggested) == advice.reasons
    assert advice.list_reasons(dataclasses.replace(suggested, max_len=2048)) == advice.reasons[1:]
    assert advice.list_reasons(dataclasses.replace(suggested, dropout=0.1)) == [advice.reasons[0], *advice.reasons[2:]]


def test_advice_does_not_change_the_popularity_preset() -> None:
    advice = advise(make_dataset([6]), TrainingOptions(), 200)
    assert advice.apply_to(preset("popular")) == preset("popular")
    assert advice.apply_to(preset("sasrec")).max_len == 50


@pytest.mark.parametrize(
    ("num_epochs", "seconds", "factor"),
    [(0.0, 0.0, 1.0), (5.9, 0.0, 1.0), (8.0, 0.0, 0.5), (0.0, 48.0, 0.5), (10.0, 0.0, 0.01), (8.0, 59.0, 0.04167)],
)
def test_linear_schedule_decays_towards_the_nearer_limit(num_epochs: float, seconds: float, factor: float) -> None:
    options = TrainingOptions(schedule="linear", epochs=10, max_minutes=1)
    assert options.compute_rate_factor(num_epochs, seconds) == pytest.approx(factor, rel=1e-3)
    assert TrainingOptions(epochs=10).compute_rate_factor(num_epochs, seconds) == 1.0
