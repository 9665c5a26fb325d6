"""Several ranks make the run that one process makes: the same weights, figures and decisions."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.build import build_model
from models.config import Part
from models.data.dataset import Dataset
from models.data.sequences import TrainingBatches
from models.data.splits import select_training_histories
from models.evaluation.evaluate import evaluate
from models.layers import interval_embedding
from models.predictor import Predictor
from models.presets import PRESETS
from models.ranks import SINGLE_PROCESS, Ranks
from models.training.options import TrainingOptions
from models.training.stages import train_model
from models.training.trainer import Trainer
from service_tests.models.training.rank_processes import CPU, on_ranks
from service_tests.support.artifacts import tiny_catalogue, tiny_config

NUM_ITEMS = 30
# Averaging 0: the weights of the last step are the ones that are kept.
OPTIONS = TrainingOptions(epochs=1, batch_cells=70, learning_rate=1e-2, warmup_steps=5, averaging=0.0)


def ragged_log(users: int = 50) -> Dataset:
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
    """What is trained; `spoiled` freezes the embedding, and adds a weight that no loss asks for."""

    preset: str
    form: str | None = None
    negatives: int | None = None
    loss: str = "softmax"
    spoiled: bool = False

    def trainer(self, folder: Path, ranks: Ranks, dropout: float = 0.0, **changes: Any) -> Trainer:
        torch.manual_seed(1 + 10 * ranks.rank)  # whoever starts elsewhere must be told where the first one starts
        config = dataclasses.replace(tiny_config(self.preset), dropout=dropout)
        if self.form is not None:
            config = dataclasses.replace(config, encoder=Part(config.encoder.name, {"form": self.form}))
        model = build_model(config, NUM_ITEMS)
        if self.spoiled:
            model.embedding.requires_grad_(False)
            model.spare = nn.Parameter(torch.ones(3, 3))
        options = dataclasses.replace(OPTIONS, num_negatives=self.negatives, loss=self.loss, **changes)
        return Trainer(model, ragged_log(), options, CPU, folder, ranks)

    def __str__(self) -> str:
        parts = (self.preset, self.form, self.negatives and f"{self.loss}-{self.negatives}", self.spoiled and "spoiled")
        return "-".join(str(part) for part in parts if part)


CASES = [
    *(Case(name, negatives=number) for name in PRESETS if name != "popular" for number in (None, 20)),
    Case("sasrec", negatives=20, loss="gbce"),
    Case("lsan", form="prefix"),
    Case("sasrec", spoiled=True),
    Case("cprec", spoiled=True),
]


def trained(case: Case, folder: Path, ranks: Ranks = SINGLE_PROCESS, **changes: Any) -> dict[str, Any]:
    """After one epoch, or what `changes` say: weights, curve, and where the test's targets were answered."""
    run = case.trainer(folder, ranks, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interval_embedding, "HIDDEN", 0.0)  # chance from row to row, as dropout is
        run.run()
    found = evaluate(Predictor(run.model, CPU), run.dataset, "test", ranks=ranks)
    return {"weights": run.model.state_dict(), "curve": run.curve, "places": found.target_ranks, "values": found.values}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


SASREC = Case("sasrec", negatives=20)


def with_dropout(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """And the seed of the last step's masks."""
    return trained(SASREC, folder / str(ranks.rank), ranks, dropout=0.3) | {"seed": torch.initial_seed()}


def two_epochs(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Going on with the checkpoint in `folder`, which only the first one sees."""
    run = SASREC.trainer(folder if ranks.is_first else folder / "empty", ranks, epochs=2)
    assert run.resume()
    run.run()
    return {"weights": run.model.state_dict(), "curve": run.curve}


def one_epoch(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Its checkpoint stays in `folder`; what another than the first one writes would stay beside it."""
    return trained(SASREC, folder if ranks.is_first else folder / "other", ranks)


def by_clocks_that_differ(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Two runs of three epochs within a minute: time stands still for the first rank, then for all the others."""
    curves, real = {}, time.monotonic
    for name, moves in (("still", not ranks.is_first), ("flying", ranks.is_first)):
        began, pace = real(), 1e6 if moves else 1e-6
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", lambda began=began, pace=pace: began + pace * (real() - began))
            run = SASREC.trainer(folder / f"{name}-{ranks.rank}", ranks, epochs=3, max_minutes=1.0)
            run.run()
        curves[name] = run.curve
    return curves


def two_stages(ranks: Ranks, folder: Path) -> dict[str, Any]:
    config = dataclasses.replace(tiny_config("blossom"), dropout=0.0)
    options = dataclasses.replace(OPTIONS, epochs=12)
    model, curve, best = train_model(
        ragged_log(), config, options, CPU, folder / str(ranks.rank), resume=False, ranks=ranks
    )
    return {"weights": model.state_dict(), "curve": curve, "best": best}


def what_is_said(ranks: Ranks, folder: Path) -> list[str]:
    """To a rank whose weights, and then whose options, are not the first one's; and to the first."""
    run, said = SASREC.trainer(folder, ranks), []
    with torch.no_grad():
        next(run.model.parameters())[1, 0] += 1e-6 * ranks.rank
    with pytest.raises(ValueError, match="differ") as found:
        run._take_step.assert_equal_weights()
    said.append(str(found.value))
    with pytest.raises(ValueError, match="differ") as found:
        SASREC.trainer(folder, ranks, epochs=1 + ranks.rank)
    said.append(str(found.value))
    return said


def everything(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """In one group of processes, as starting them is what takes the time."""
    return {
        "cases": {str(case): trained(case, folder / f"{case}-{ranks.rank}", ranks) for case in CASES},
        "dropout": with_dropout(ranks, folder / "dropout"),
        "written": one_epoch(ranks, folder / "written"),
        "resumed": two_epochs(ranks, folder / "alone"),
        "clock": by_clocks_that_differ(ranks, folder / "clock"),
        "stages": two_stages(ranks, folder / "stages"),
        "said": what_is_said(ranks, folder / "said"),
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs; under `alone` a checkpoint of one process that the ranks go on with."""
    folder = tmp_path_factory.mktemp("ranks")
    one_epoch(SINGLE_PROCESS, folder / "alone")
    return folder


@pytest.fixture(scope="module")
def two(shared: Path) -> list[dict[str, Any]]:
    """What came of everything, on either rank."""
    return on_ranks(2, everything, shared)


Two = list[dict[str, Any]]


def test_the_log_has_batches_that_do_not_go_round() -> None:
    batches = TrainingBatches(select_training_histories(ragged_log()), max_len=40, batch_cells=70, seed=1)
    rows = [len(plan) for plan in batches.epoch(1)]
    assert 1 in rows, "a rank that has nothing to do"
    assert any(number % 2 for number in rows if number > 1), "ranks that have different numbers of rows"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ranks_make_the_weights_of_one_process(case: Case, two: Two, tmp_path: Path) -> None:
    alone, first = trained(case, tmp_path), two[0]["cases"][str(case)]
    assert furthest(alone["weights"], first["weights"]) < 1e-5
    started = case.trainer(tmp_path, SINGLE_PROCESS).model.state_dict()
    assert furthest(alone["weights"], started) > 1e-2, "it was trained"
    assert first["curve"][0].loss == pytest.approx(alone["curve"][0].loss, rel=1e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ranks_end_with_the_very_same_weights_figures_and_curve(case: Case, two: Two) -> None:
    first, second = (returned["cases"][str(case)] for returned in two)
    assert same(first["weights"], second["weights"])
    assert first["curve"] == second["curve"]
    assert first["values"] == second["values"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_evaluation_by_two_is_the_evaluation_by_one(case: Case, two: Two, tmp_path: Path) -> None:
    returned = two[1]["cases"][str(case)]
    model = case.trainer(tmp_path, SINGLE_PROCESS).model
    model.load_state_dict(returned["weights"])
    found = evaluate(Predictor(model, CPU), ragged_log(), "test")
    assert (found.target_ranks == returned["places"]).all()
    assert found.values == returned["values"]


def test_ranks_drop_different_cells_and_move_alike(two: Two) -> None:
    first, second = (returned["dropout"] for returned in two)
    assert first["seed"] != second["seed"]
    assert same(first["weights"], second["weights"])


def test_two_ranks_go_on_where_one_process_stopped(two: Two, tmp_path: Path) -> None:
    whole = trained(SASREC, tmp_path, epochs=2)
    for returned in two:
        assert furthest(returned["resumed"]["weights"], whole["weights"]) < 1e-5
        assert [record.epoch for record in returned["resumed"]["curve"]] == [1, 2]


def test_one_process_goes_on_where_two_ranks_stopped(two: Two, shared: Path, tmp_path: Path) -> None:
    resumed = two_epochs(SINGLE_PROCESS, shared / "written")
    assert furthest(resumed["weights"], trained(SASREC, tmp_path, epochs=2)["weights"]) < 1e-5


def test_only_the_first_rank_writes(two: Two, shared: Path) -> None:
    assert (shared / "written/checkpoint.pt").exists()
    assert not (shared / "written/other").exists()
    assert sorted(path.name for path in shared.glob("*/*-1")) == []


def test_minutes_are_those_of_the_first_rank(two: Two) -> None:
    for returned in two:
        assert len(returned["clock"]["still"]) == 3, "all epochs, though an hour went by elsewhere"
        assert len(returned["clock"]["flying"]) == 1


def test_both_stages_of_a_compressed_model_are_trained_by_all_ranks(two: Two, tmp_path: Path) -> None:
    alone = two_stages(SINGLE_PROCESS, tmp_path)
    first, *others = (returned["stages"] for returned in two)
    assert all(same(first["weights"], other["weights"]) for other in others)
    assert first["best"].ndcg == pytest.approx(alone["best"].ndcg, abs=0.02)
    assert first["best"].ndcg > 0.8


def test_all_ranks_are_told_when_one_differs(two: Two) -> None:
    first, second = (returned["said"] for returned in two)
    assert first == second
    assert first[0].startswith("weights (")
    assert first[0].endswith(" of rank 1 differ from those of rank 0")
    assert first[1] == "data, model or options of rank 1 differ from those of rank 0"
