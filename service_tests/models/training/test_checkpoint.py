"""Checkpoints that are damaged or of another run are refused before anything is trained; so is a full disk."""

import dataclasses
from collections import namedtuple
from pathlib import Path

import pytest

from models.training.checkpoint import CHECKPOINT_FILE, DamagedCheckpoint, OtherRun
from models.training.disk_space import CHECKPOINT_COPIES, MARGIN_BYTES, check_disk_space, estimate_run_bytes
from models.training.options import RunContext
from models.training.pipeline import TRAINING_FOLDER, train_artifact
from models.training.plan import PLAN_FILE
from models.training.run_record import RUN_FILE, find_other_option, write_run_record
from models.training.stages import FULL_TABLE_FOLDER, train_model
from models.training.trainer import Trainer
from service_tests.models.training.test_stages import CODES
from service_tests.models.training.test_trainer import CPU, OPTIONS, make_cyclic_log, make_trainer
from service_tests.support.artifacts import tiny_catalogue

ONE_EPOCH = dataclasses.replace(OPTIONS, epochs=1)
Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.mark.parametrize("kept_share", [0.0, 0.3, 0.99])
def test_cut_checkpoint_is_refused_with_its_path(kept_share: float, tmp_path: Path) -> None:
    make_trainer(tmp_path, ONE_EPOCH).run()
    path = tmp_path / CHECKPOINT_FILE
    content = path.read_bytes()
    path.write_bytes(content[: int(kept_share * len(content))] or b"x")
    with pytest.raises(DamagedCheckpoint, match=rf"{path} is damaged or incomplete; remove it"):
        make_trainer(tmp_path, ONE_EPOCH).resume()


def test_checkpoint_of_another_run_is_refused_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trainer(tmp_path, ONE_EPOCH).run()  # a run in one stage; that of CODES has two
    monkeypatch.setattr(Trainer, "run", lambda _: pytest.fail("nothing may be trained"))
    with pytest.raises(OtherRun, match="belongs to a run with other data, model or options"):
        train_model(make_cyclic_log(), CODES, ONE_EPOCH, RunContext(CPU, tmp_path, resume=True))
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"x")
    with pytest.raises(DamagedCheckpoint):
        train_model(make_cyclic_log(), CODES, ONE_EPOCH, RunContext(CPU, tmp_path, resume=True))


def test_run_that_does_not_resume_removes_what_an_interrupted_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of the earlier run would refuse to resume this one; its plan would replace options of this one."""
    training = tmp_path / TRAINING_FOLDER
    for stage in (training, training / FULL_TABLE_FOLDER):
        make_trainer(stage, ONE_EPOCH).run()
    (training / PLAN_FILE).write_text('{"learning_rate": 0.5}\n')
    write_run_record(training, {"preset": "blossom"})
    rates = []

    def interrupt(trainer: Trainer) -> None:
        rates.append(trainer.options.learning_rate)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run", interrupt)
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            train_artifact(make_cyclic_log(), CODES, ONE_EPOCH, RunContext(CPU, tmp_path, resume=resume))
        assert [path.name for path in training.rglob("*") if path.is_file()] == [RUN_FILE]
    assert rates == [ONE_EPOCH.learning_rate] * 2


def test_resuming_with_other_options_names_the_first_that_differs(tmp_path: Path) -> None:
    options = {"preset": "blossom", "dim": None, "option": ["a.b=1"], "intervals": None}
    write_run_record(tmp_path, options)
    assert find_other_option(tmp_path, options | {"preset": "sasrec"}) is None, "there is nothing to resume"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / CHECKPOINT_FILE).write_bytes(b"x")
    assert find_other_option(tmp_path, options) is None
    problem = find_other_option(tmp_path, options | {"preset": "sasrec"})
    assert problem is not None
    assert "was started with --preset blossom (got --preset sasrec)" in problem
    assert "no --dim (got --dim 8)" in str(find_other_option(tmp_path, options | {"dim": 8}))
    (tmp_path / "run.json").write_text("[")
    assert find_other_option(tmp_path, options | {"dim": 8}) is None, "the fingerprint decides"


@pytest.mark.parametrize(
    ("name", "started", "given", "text"),
    [
        ("intervals", False, None, "--no-intervals (got no --intervals)"),
        ("intervals", True, False, "--intervals (got --no-intervals)"),
        ("attributes", (), None, "--attributes none (got no --attributes)"),
        ("attributes", ("brand", "price"), (), "--attributes brand,price (got --attributes none)"),
        ("option", [], ["a.b=1", "a.c=2"], "no --option (got --option a.b=1 --option a.c=2)"),
    ],
)
def test_options_that_differ_are_named_as_they_are_given(
    name: str, started: object, given: object, text: str, tmp_path: Path
) -> None:
    write_run_record(tmp_path, {name: started})
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"x")
    assert f"was started with {text}; " in str(find_other_option(tmp_path, {name: given}))


def test_run_that_does_not_fit_on_the_disk_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_cyclic_log()
    run_bytes = estimate_run_bytes(CODES, dataset.catalogue)
    check_disk_space(tmp_path / "new" / "folder", CODES, dataset.catalogue)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, run_bytes - 1))
    with pytest.raises(ValueError, match=r"needs about 21 MB for checkpoints .* 21 MB left; free some space"):
        train_artifact(dataset, CODES, ONE_EPOCH, RunContext(CPU, tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_estimate_covers_the_first_stage_with_a_full_table() -> None:
    catalogue = tiny_catalogue(5_000)
    table_bytes = 4 * CODES.dim * catalogue.num_items
    assert estimate_run_bytes(CODES, catalogue) - MARGIN_BYTES > 2 * CHECKPOINT_COPIES * table_bytes
