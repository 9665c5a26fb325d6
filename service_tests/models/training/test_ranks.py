"""Several ranks train the same run as a single process: same weights, metrics and decisions."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import recommender
from models.build import build_model
from models.config import Part
from models.data.dataset import Dataset
from models.data.sequences import TrainingBatches
from models.data.splits import select_training_histories
from models.evaluation.evaluate import evaluate
from models.predictor import Predictor
from models.presets import PRESETS
from models.ranks import SINGLE_PROCESS, Ranks
from models.training.options import RunContext, TrainingOptions
from models.training.stages import train_model
from models.training.trainer import Trainer
from service_tests.models.training.rank_processes import CPU, run_on_ranks
from service_tests.support.artifacts import tiny_catalogue, tiny_config

pytestmark = pytest.mark.slow

NUM_ITEMS = 30
# Averaging 0: the final weights are those of the last step.
OPTIONS = TrainingOptions(epochs=1, batch_cells=70, learning_rate=1e-2, warmup_steps=5, averaging=0.0)


def make_ragged_log(users: int = 50) -> Dataset:
    """Histories of 4 to 45 events: batches of one row and of twenty."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(4 + rng.geometric(0.1, users), 45)
    items = [(start + np.arange(length)) % NUM_ITEMS + 1 for start, length in enumerate(lengths)]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    events = np.concatenate(items)
    times = (1_700_000_000 + rng.integers(0, 3600, len(events)).cumsum()).astype(np.uint32)
    return Dataset(tiny_catalogue(NUM_ITEMS), [f"u{n}" for n in range(users)], offsets, events, times)


@dataclass(frozen=True)
class Case:
    """A training setup; `irregular` freezes the embedding and adds a weight without a gradient.

    `weighted` gives the events weights, of which a third are 0.
    """

    preset: str
    form: str | None = None
    negatives: int | None = None
    loss: str = "softmax"
    irregular: bool = False
    weighted: bool = False

    def make_trainer(self, folder: Path, ranks: Ranks, dropout: float = 0.0, **changes: Any) -> Trainer:
        torch.manual_seed(1 + 10 * ranks.rank)  # ranks start from different weights, so they must be broadcast
        config = dataclasses.replace(tiny_config(self.preset), dropout=dropout)
        if self.form is not None:
            config = dataclasses.replace(config, encoder=Part(config.encoder.name, {"form": self.form}))
        model = build_model(config, NUM_ITEMS)
        if model.embedding.starts_from_full_table:  # as in a second stage; equal items would have no gradient
            table = torch.randn(NUM_ITEMS + 1, config.dim, generator=torch.Generator().manual_seed(1))
            model.embedding.approximate(table, make_ragged_log().catalogue)
        if self.irregular:
            model.embedding.requires_grad_(False)
            model.spare = nn.Parameter(torch.ones(3, 3))
        model = model.double()  # Adam amplifies the rounding noise of gradients that are nearly 0
        options = dataclasses.replace(OPTIONS, num_negatives=self.negatives, loss=self.loss, **changes)
        dataset = make_ragged_log()
        if self.weighted:
            weights = np.random.default_rng(1).choice(np.array([0, 0.3, 2], np.float32), len(dataset.items))
            dataset = dataclasses.replace(dataset, weights=weights)
        return Trainer(model, dataset, options, RunContext(CPU, folder, ranks))

    def __str__(self) -> str:
        parts = (
            self.preset,
            self.form,
            self.negatives and f"{self.loss}-{self.negatives}",
            self.irregular and "irregular",
            self.weighted and "weighted",
        )
        return "-".join(str(part) for part in parts if part)


CASES = [
    *(Case(name, negatives=number) for name in PRESETS if name != "popular" for number in (None, 20)),
    Case("sasrec", negatives=20, loss="gbce"),
    Case("lsan", form="prefix"),
    Case("sasrec", irregular=True),
    Case("cprec", irregular=True),
    Case("sasrec", weighted=True),
    Case("lsan", form="prefix", weighted=True),
]


def train(case: Case, folder: Path, ranks: Ranks = SINGLE_PROCESS, **changes: Any) -> dict[str, Any]:
    """Train for one epoch, or as `changes` say; return weights, curve and test metrics."""
    run = case.make_trainer(folder, ranks, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommender, "HIDDEN_SHARE", 0.0)  # random per row, like dropout
        run.run()
    evaluation = evaluate(Predictor(run.model, CPU), run.dataset, "test", ranks=ranks)
    return {
        "weights": run.model.state_dict(),
        "curve": run.curve,
        "target_ranks": evaluation.target_ranks,
        "values": evaluation.values,
    }


def are_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def compute_max_difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(
        float((first[name].double() - second[name].double()).abs().max()) for name in first if first[name].numel()
    )


SASREC = Case("sasrec", negatives=20)


def train_with_dropout(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Also return the seed of the last step's masks."""
    return train(SASREC, folder / str(ranks.rank), ranks, dropout=0.3) | {"seed": torch.initial_seed()}


def resume_for_two_epochs(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Resume from the checkpoint in `folder`, which only the first rank can access."""
    run = SASREC.make_trainer(folder if ranks.is_first else folder / "empty", ranks, epochs=2)
    assert run.resume()
    run.run()
    return {"weights": run.model.state_dict(), "curve": run.curve}


def train_one_epoch(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """The checkpoint stays in `folder`; files of other ranks would go to `other`."""
    return train(SASREC, folder if ranks.is_first else folder / "other", ranks)


def train_with_different_clocks(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Two runs limited to a minute: with a frozen clock on the first rank, then on the others."""
    curves, real = {}, time.monotonic
    for name, is_fast in (("frozen", not ranks.is_first), ("fast", ranks.is_first)):
        start_s, pace = real(), 1e6 if is_fast else 1e-6
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", lambda start_s=start_s, pace=pace: start_s + pace * (real() - start_s))
            run = SASREC.make_trainer(folder / f"{name}-{ranks.rank}", ranks, epochs=3, max_minutes=1.0)
            run.run()
        curves[name] = run.curve
    return curves


def train_two_stages(ranks: Ranks, folder: Path) -> dict[str, Any]:
    config = dataclasses.replace(tiny_config("blossom"), dropout=0.0)
    options = dataclasses.replace(OPTIONS, epochs=12)
    context = RunContext(CPU, folder / str(ranks.rank), ranks)
    model, curve, best = train_model(make_ragged_log(), config, options, context)
    return {"weights": model.state_dict(), "curve": curve, "best": best}


def collect_errors(ranks: Ranks, folder: Path) -> list[str]:
    """Collect the errors when another rank's weights, and then its options, differ from the first one's."""
    run, messages = SASREC.make_trainer(folder, ranks), []
    with torch.no_grad():
        next(run.model.parameters())[1, 0] += 1e-6 * ranks.rank
    with pytest.raises(ValueError, match="differ") as error:
        run.step.assert_equal_weights()
    messages.append(str(error.value))
    with pytest.raises(ValueError, match="differ") as error:
        SASREC.make_trainer(folder, ranks, epochs=1 + ranks.rank)
    messages.append(str(error.value))
    return messages


def run_all_jobs(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Run all jobs in one group of processes, because starting them takes most of the time."""
    return {
        "cases": {str(case): train(case, folder / f"{case}-{ranks.rank}", ranks) for case in CASES},
        "dropout": train_with_dropout(ranks, folder / "dropout"),
        "saved": train_one_epoch(ranks, folder / "saved"),
        "resumed": resume_for_two_epochs(ranks, folder / "single"),
        "clock": train_with_different_clocks(ranks, folder / "clock"),
        "stages": train_two_stages(ranks, folder / "stages"),
        "errors": collect_errors(ranks, folder / "errors"),
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs; `single` has a checkpoint of a single process from which the ranks resume."""
    folder = tmp_path_factory.mktemp("ranks")
    train_one_epoch(SINGLE_PROCESS, folder / "single")
    return folder


@pytest.fixture(scope="module")
def two(shared: Path) -> list[dict[str, Any]]:
    """Results of all jobs, by rank."""
    return run_on_ranks(2, run_all_jobs, shared)


Two = list[dict[str, Any]]


def test_log_has_batches_that_do_not_split_evenly() -> None:
    batches = TrainingBatches(select_training_histories(make_ragged_log()), max_len=40, batch_cells=70, seed=1)
    rows = [len(plan) for plan in batches.plan_epoch(1)]
    assert 1 in rows, "a rank without rows"
    assert any(number % 2 for number in rows if number > 1), "ranks with different numbers of rows"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ranks_train_the_weights_of_a_single_process(case: Case, two: Two, tmp_path: Path) -> None:
    single, first = train(case, tmp_path), two[0]["cases"][str(case)]
    assert compute_max_difference(single["weights"], first["weights"]) < 1e-6
    initial = case.make_trainer(tmp_path, SINGLE_PROCESS).model.state_dict()
    assert compute_max_difference(single["weights"], initial) > 1e-2, "the weights were trained"
    assert first["curve"][0].loss == pytest.approx(single["curve"][0].loss, rel=1e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ranks_have_identical_weights_metrics_and_curves(case: Case, two: Two) -> None:
    first, second = (result["cases"][str(case)] for result in two)
    assert are_equal(first["weights"], second["weights"])
    assert first["curve"] == second["curve"]
    assert first["values"] == second["values"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_on_two_ranks_equals_that_of_a_single_process(case: Case, two: Two, tmp_path: Path) -> None:
    result = two[1]["cases"][str(case)]
    model = case.make_trainer(tmp_path, SINGLE_PROCESS).model
    model.load_state_dict(result["weights"])
    evaluation = evaluate(Predictor(model, CPU), make_ragged_log(), "test")
    assert (evaluation.target_ranks == result["target_ranks"]).all()
    assert evaluation.values == result["values"]


def test_ranks_use_different_dropout_masks_and_update_alike(two: Two) -> None:
    first, second = (result["dropout"] for result in two)
    assert first["seed"] != second["seed"]
    assert are_equal(first["weights"], second["weights"])


def test_two_ranks_resume_a_run_of_a_single_process(two: Two, tmp_path: Path) -> None:
    whole = train(SASREC, tmp_path, epochs=2)
    for result in two:
        assert compute_max_difference(result["resumed"]["weights"], whole["weights"]) < 1e-5
        assert [record.epoch for record in result["resumed"]["curve"]] == [1, 2]


def test_single_process_resumes_a_run_of_two_ranks(two: Two, shared: Path, tmp_path: Path) -> None:
    resumed = resume_for_two_epochs(SINGLE_PROCESS, shared / "saved")
    assert compute_max_difference(resumed["weights"], train(SASREC, tmp_path, epochs=2)["weights"]) < 1e-5


def test_only_the_first_rank_writes_files(two: Two, shared: Path) -> None:
    assert (shared / "saved/checkpoint.pt").exists()
    assert not (shared / "saved/other").exists()
    assert sorted(path.name for path in shared.glob("*/*-1")) == []


def test_time_limit_uses_the_clock_of_the_first_rank(two: Two) -> None:
    for result in two:
        assert len(result["clock"]["frozen"]) == 3, "all epochs, although an hour has passed on the other rank"
        assert len(result["clock"]["fast"]) == 1


def test_all_ranks_train_both_stages_of_a_compressed_model(two: Two, tmp_path: Path) -> None:
    single = train_two_stages(SINGLE_PROCESS, tmp_path)
    first, *other_ranks = (result["stages"] for result in two)
    assert all(are_equal(first["weights"], other["weights"]) for other in other_ranks)
    assert first["best"].ndcg == pytest.approx(single["best"].ndcg, abs=0.02)
    assert first["best"].ndcg > 0.8


def test_all_ranks_raise_if_one_differs(two: Two) -> None:
    first, second = (result["errors"] for result in two)
    assert first == second
    assert first[0].startswith("weights (")
    assert first[0].endswith(" of rank 1 differ from those of rank 0")
    assert first[1] == "data, model or options of rank 1 differ from those of rank 0"
