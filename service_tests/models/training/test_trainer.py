"""Training learns, is reproducible, resumes after a kill, and stops by its limits."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.build import build_model
from models.config import Part
from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from models.predictor import Predictor
from models.recommender import SequentialRecommender
from models.training.options import RunContext, TrainingOptions
from models.training.trainer import Trainer
from service_tests.support.artifacts import tiny_catalogue, tiny_config

CPU = torch.device("cpu")
OPTIONS = TrainingOptions(epochs=4, batch_cells=256, learning_rate=1e-2, warmup_steps=5)


def make_cyclic_log(users: int = 60, num_items: int = 30, length: int = 14) -> Dataset:
    """Users walk the catalogue in the same order from different starts: easy to learn, impossible for popularity."""
    rng = np.random.default_rng(0)
    items = [(start + np.arange(length)) % num_items + 1 for start in rng.integers(0, num_items, users)]
    offsets = np.arange(0, (users + 1) * length, length)
    return Dataset(tiny_catalogue(num_items), [f"u{n}" for n in range(users)], offsets, np.concatenate(items))


def make_trainer(folder: Path, options: TrainingOptions = OPTIONS, preset: str = "sasrec", **parts: Part) -> Trainer:
    torch.manual_seed(options.seed)
    data = make_cyclic_log()
    model = build_model(dataclasses.replace(tiny_config(preset), **parts), data.catalogue.num_items)  # type: ignore[arg-type]
    return Trainer(model, data, options, RunContext(CPU, folder))


def have_same_weights(first: SequentialRecommender, second: SequentialRecommender) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["sasrec", "blossomrec", "cprec"])
@pytest.mark.parametrize("negatives", [None, 20])
def test_training_learns_what_popularity_cannot(preset: str, negatives: int | None, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=25, num_negatives=negatives)
    run = make_trainer(tmp_path, options, preset)
    best = run.run()
    assert best.ndcg > 0.8
    assert evaluate(Predictor(run.model, CPU), run.dataset, "test").values["ndcg@10"] > 0.8


def test_seed_makes_a_run_reproducible(tmp_path: Path) -> None:
    first, second = make_trainer(tmp_path / "1"), make_trainer(tmp_path / "2")
    first.run()
    second.run()
    assert have_same_weights(first.model, second.model)
    other = make_trainer(tmp_path / "3", dataclasses.replace(OPTIONS, seed=2))
    other.run()
    assert not have_same_weights(first.model, other.model)


class Killed(Exception):
    """Raised where a real run would be killed."""


@pytest.mark.parametrize("after", [0, 2, 5, 9])
def test_resumed_run_equals_an_uninterrupted_one(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_trainer(tmp_path / "whole")
    whole.run()
    options = dataclasses.replace(OPTIONS, checkpoint_minutes=1e-9)  # after every step
    interrupted = make_trainer(tmp_path / "cut", options)
    train_step = Trainer.train_step

    def train_step_or_die(self: Trainer, plan: np.ndarray) -> None:
        if self.state.total_steps == after:
            raise Killed
        train_step(self, plan)

    monkeypatch.setattr(Trainer, "train_step", train_step_or_die)
    with pytest.raises(Killed):
        interrupted.run()
    monkeypatch.undo()
    resumed = make_trainer(tmp_path / "cut", options)
    assert resumed.resume() == (after > 0)
    resumed.run()
    assert have_same_weights(resumed.model, whole.model)
    assert [record.loss for record in resumed.curve] == [record.loss for record in whole.curve]


def test_checkpoint_of_another_run_raises(tmp_path: Path) -> None:
    make_trainer(tmp_path).run()
    with pytest.raises(ValueError, match="belongs to a run with other data, model or options"):
        make_trainer(tmp_path, dataclasses.replace(OPTIONS, learning_rate=1e-3)).resume()
    longer = make_trainer(tmp_path, dataclasses.replace(OPTIONS, epochs=5))
    assert longer.resume(), "more epochs are allowed"
    longer.run()
    assert len(longer.curve) == 5


def test_early_stopping_restores_the_best_weights(tmp_path: Path) -> None:
    run = make_trainer(tmp_path, dataclasses.replace(OPTIONS, epochs=100, patience=3))
    best = run.run()
    assert len(run.curve) < 100
    assert len(run.curve) - best.epoch == 3
    assert best.ndcg == max(record.ndcg for record in run.curve)
    assert evaluate(Predictor(run.model, CPU), run.dataset, "valid").values["ndcg@10"] == pytest.approx(best.ndcg)


def test_time_limit_within_the_first_epoch_still_returns_a_model(tmp_path: Path) -> None:
    run = make_trainer(tmp_path, dataclasses.replace(OPTIONS, max_minutes=1e-6))
    run.run()
    assert len(run.curve) == 1


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("patience", 0), ("max_minutes", 0.0), ("batch_cells", -1)])
def test_invalid_option_error_names_the_option(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(OPTIONS, **{name: value})  # type: ignore[arg-type]


def test_large_catalogues_use_sampled_negatives() -> None:
    assert TrainingOptions().resolve_num_negatives(50_000) is None
    assert TrainingOptions().resolve_num_negatives(50_001) == 8192
    assert TrainingOptions(num_negatives=0).resolve_num_negatives(10**6) is None
