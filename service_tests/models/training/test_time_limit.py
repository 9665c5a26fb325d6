"""A time limit covers planning, training, evaluation and export, and the plan survives a resume."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.training.choices import PLANNABLE
from models.training.initial_vectors import estimate_initial_vectors_s
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import train_artifact
from models.training.plan import PLAN_FILE, load_choices
from models.training.planning import MIN_TEST_CASES, make_plan
from models.training.stages import train_model
from models.training.trainer import Trainer
from service_tests.models.training.test_trainer import CPU, have_same_weights, make_cyclic_log
from service_tests.support.artifacts import tiny_catalogue

pytestmark = pytest.mark.slow

NUM_ITEMS = 2500
PLANNED = frozenset({*PLANNABLE, "threads"})
FULL = ModelConfig(Part("full"), Part("self_attention"), Part("tied"), dim=16, max_len=20, dropout=0.1)
CODES = dataclasses.replace(FULL, embedding=Part("codes", {"splits": 8, "codebook": 16}))


class TickingClock:
    """Every reading takes `tick` seconds, so that a run ends after a number of readings and not by real time."""

    def __init__(self, tick: float) -> None:
        self.tick, self.now = tick, 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def make_large_log(users: int = 100, length: int = 9) -> Dataset:
    rng = np.random.default_rng(0)
    items = rng.integers(1, NUM_ITEMS + 1, users * length)
    return Dataset(
        tiny_catalogue(NUM_ITEMS), [f"u{n}" for n in range(users)], np.arange(0, len(items) + 1, length), items
    )


def make_context(folder: Path, clock: TickingClock, *, resume: bool = False) -> RunContext:
    return RunContext(CPU, folder, clock=clock, started_at=clock.now, planned=PLANNED, resume=resume)


@pytest.mark.slow
@pytest.mark.parametrize("config", [FULL, CODES], ids=["one stage", "two stages"])
def test_run_ends_within_its_limit(config: ModelConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = TickingClock(0.3)
    options = TrainingOptions(max_minutes=0.5, batch_cells=128)
    trained = train_artifact(make_large_log(), config, options, make_context(tmp_path, clock))
    assert clock.now <= 30 + 2, "a few readings are between the parts of a run"
    assert clock.now >= 20, "the time is used"
    assert load_artifact(tmp_path, device="cpu").version == trained.version
    assert not list(tmp_path.rglob(PLAN_FILE))
    message = capsys.readouterr().err
    assert "plan for 30 s" in message
    assert "not repeatable" in message
    plan = trained.plan.to_json()
    assert plan is not None
    assert "targets/s" in message
    assert plan["choices"]["schedule"] == "linear"
    assert plan["training_s"] + plan["evaluation_s"] + plan["export_s"] + plan["spent_s"] == pytest.approx(30, abs=0.5)


def read_report(folder: Path) -> str:
    return (folder / "training" / "report.html").read_text()


def test_exhausted_limit_still_gives_an_artifact_evaluated_on_a_sample(tmp_path: Path) -> None:
    options = TrainingOptions(max_minutes=1e-6, batch_cells=128)
    trained = train_artifact(make_large_log(users=250), FULL, options, RunContext(CPU, tmp_path))
    assert (trained.test.num_cases, trained.num_test_users) == (MIN_TEST_CASES, 250)
    assert load_artifact(tmp_path, device="cpu").version == trained.version
    assert "0 of 10 users are shown. The time of --max-minutes is used up." in read_report(tmp_path)


def test_run_without_a_limit_is_not_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = TrainingOptions(epochs=1, batch_cells=256)
    data = make_cyclic_log()
    trained = train_artifact(data, FULL, options, RunContext(CPU, tmp_path / "a", planned=PLANNED))
    assert trained.plan.to_json() is None
    assert trained.plan.options == options
    assert "plan" not in capsys.readouterr().err
    plain, _, _ = train_model(data, FULL, options, RunContext(CPU, tmp_path / "b"))
    loaded = load_artifact(tmp_path / "a", device="cpu").predictor.model
    assert have_same_weights(loaded, plain)


def test_library_options_are_not_changed_by_a_limit(tmp_path: Path) -> None:
    options = TrainingOptions(epochs=3, batch_cells=256, learning_rate=0.01, max_minutes=1.0)
    plan = make_plan(make_cyclic_log(), FULL, options, RunContext(CPU, tmp_path))
    assert dataclasses.replace(plan.options, max_minutes=1.0) == options
    assert plan.training_s < 60


@pytest.mark.parametrize("config", [FULL, CODES], ids=["one stage", "two stages"])
def test_short_run_starts_from_counts_and_reserves_their_time(config: ModelConfig, tmp_path: Path) -> None:
    plans = [
        make_plan(
            make_large_log(users=400),
            config,
            TrainingOptions(max_minutes=0.5, batch_cells=128),
            make_context(tmp_path / str(tick), TickingClock(tick)),
        )
        for tick in (1e-3, 0.3)
    ]
    assert [plan.options.initial_vectors for plan in plans] == ["random", "counts"], "many epochs fit with a fast clock"
    total_s = plans[1].spent_s + plans[1].training_s + plans[1].evaluation_s + plans[1].export_s
    assert total_s < 30 - 0.9 * estimate_initial_vectors_s(3600, NUM_ITEMS)


def test_initial_vectors_set_by_the_caller_are_used(tmp_path: Path) -> None:
    context = dataclasses.replace(
        make_context(tmp_path, TickingClock(1e-3)), planned=frozenset({*PLANNABLE} - {"initial_vectors"})
    )
    plan = make_plan(make_large_log(), FULL, TrainingOptions(max_minutes=1.0), context)
    assert plan.options.initial_vectors == "random"


def test_table_that_no_stage_trains_in_full_is_not_replaced(tmp_path: Path) -> None:
    data = make_cyclic_log()
    config = dataclasses.replace(FULL, embedding=Part("codes", {"splits": 8, "codebook": 16, "assignment": "digits"}))
    weights = [
        train_model(data, config, TrainingOptions(epochs=1, initial_vectors=kind), RunContext(CPU, tmp_path / kind))[0]
        for kind in ("random", "counts")
    ]
    assert have_same_weights(*weights)


class Killed(Exception):
    """Raised where a real run would be killed."""


def test_killed_run_resumes_with_its_plan_and_its_used_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, options = make_large_log(), TrainingOptions(max_minutes=0.5, batch_cells=128, checkpoint_minutes=1e-9)
    steps: list[float] = []
    train_step = Trainer.train_step

    def train_step_or_die(self: Trainer, plan: np.ndarray) -> None:
        if self.context.folder.joinpath(PLAN_FILE).exists():
            if len(steps) == 20:
                raise Killed
            steps.append(self.state.trained_s)
        train_step(self, plan)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step_or_die)
        with pytest.raises(Killed):
            train_artifact(data, FULL, options, make_context(tmp_path, TickingClock(0.3)))
    stored = json.loads((tmp_path / "training" / PLAN_FILE).read_text())
    clock = TickingClock(0.3)
    resumed = train_artifact(data, FULL, options, make_context(tmp_path, clock, resume=True))
    assert resumed.plan.choices == stored
    assert clock.now < 26.5, "the time before the kill counts"
    rates = [record.learning_rate for record in resumed.curve]
    assert rates[-1] < 0.1 * max(rates), "the schedule ends with the time"


def test_option_set_on_resume_overrides_the_plan(tmp_path: Path) -> None:
    (tmp_path / PLAN_FILE).write_text(json.dumps({"num_negatives": 1024, "learning_rate": 0.002, "fused": True}))
    context = RunContext(CPU, tmp_path, resume=True, planned=frozenset({"learning_rate"}))
    plan = make_plan(make_cyclic_log(), FULL, TrainingOptions(num_negatives=7), context)
    assert (plan.options.num_negatives, plan.options.learning_rate, plan.options.fused) == (7, 0.002, True)
    assert load_choices(dataclasses.replace(context, resume=False)) == {}


def test_planned_run_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = TrainingOptions(epochs=25, batch_cells=256, learning_rate=1e-2, warmup_steps=5, fused=True)
    model, _, best = train_model(make_cyclic_log(), FULL, options, RunContext(CPU, tmp_path))
    assert best is not None
    assert best.ndcg > 0.8
    assert model.embedding.num_items == 30
