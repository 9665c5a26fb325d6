"""`nextup train` refuses a run that cannot end before it reads the log."""

from pathlib import Path

import pytest

from app.commands.main import Invocation, main, parse
from app.commands.options.train import TrainOptions
from app.commands.train import get_recorded_options
from models.training.checkpoint import CHECKPOINT_FILE
from models.training.run_record import write_run_record
from service_tests.support.artifacts import write_tiny_artifact

MISSING_LOG = "/no/such/log.csv"
"""Its error would come next."""


def train(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the command on a log that does not exist and return its error."""
    assert main(["train", MISSING_LOG, *words]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_run_that_cannot_read_its_log_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--out", str(tmp_path / "model"))
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\n")
    assert main(["train", str(log), "--out", str(tmp_path / "model")]) == 1
    assert not (tmp_path / "model").exists()


def test_folder_with_an_artifact_is_refused_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_artifact(tmp_path)
    assert "already holds an artifact; choose another folder or pass --overwrite" in train(
        capsys, "--out", str(tmp_path)
    )
    assert MISSING_LOG in train(capsys, "--out", str(tmp_path), "--overwrite")


def test_items_that_cannot_be_read_are_refused_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items.csv").write_text("nothing\n1\n")
    error = train(capsys, "--out", str(tmp_path / "out"), "--items", str(tmp_path / "items.csv"))
    assert "items.csv" in error
    assert MISSING_LOG not in error


def test_text_among_numbers_of_the_items_is_a_warning_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text("\n".join(f'{{"item_id": {n}, "price": {price}}}' for n, price in enumerate(("7", '"8"', "9"))))
    assert main(["train", MISSING_LOG, "--out", str(tmp_path / "out"), "--items", str(items)]) == 1
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith(f"warning: {items}:2: attribute 'price' is a text ('8') here, and a number in 2 rows; ")


def test_resuming_with_another_preset_is_refused_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path)]
    invocation = parse(["train", MISSING_LOG, *out, "--preset", "sasrec", "--dim", "16"])
    assert isinstance(invocation, Invocation)
    assert isinstance(invocation.options, TrainOptions)
    write_run_record(tmp_path / "training", get_recorded_options(invocation.options))
    assert MISSING_LOG in train(capsys, *out, "--preset", "blossom", "--resume"), "there is nothing to resume"
    (tmp_path / "training" / CHECKPOINT_FILE).write_bytes(b"x")
    error = train(capsys, *out, "--preset", "blossom", "--dim", "16", "--resume")
    assert "was started with --preset sasrec (got --preset blossom)" in error
    assert "no --dim)" in train(capsys, *out, "--preset", "sasrec", "--resume")
    assert MISSING_LOG in train(capsys, *out, "--preset", "sasrec", "--dim", "16", "--resume")


def test_device_that_is_not_there_is_refused_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    error = train(capsys, "--out", str(tmp_path), "--device", "cuda")
    assert "device cuda is not available" in error
