"""A log goes in by the command line, an artifact and its figures come out."""

import json
from pathlib import Path

import polars as pl
import pytest

from app.commands.main import main


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 users walk 20 items in one order, as CSV with other column names."""
    rows = [
        {"who": f"u{user}", "what": (user * 3 + step) % 20, "at": 1_700_000_000 + 60 * step}
        for user in range(40)
        for step in range(12)
    ]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


COLUMNS = ["--columns", "user=who,item=what,time=at"]
SMALL = [
    "--epochs",
    "25",
    "--dropout",
    "0.2",
    "--dim",
    "16",
    "--max-len",
    "20",
    "--batch-cells",
    "128",
    "--learning-rate",
    "0.01",
]


def last_json(text: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(text.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("preset", ["blossom", "sasrec", "blossomrec", "cprec", "lsan"])
def test_train_then_evaluate_give_the_same_figures(
    preset: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    assert main(["train", str(log), "--out", str(out), "--preset", preset, *COLUMNS, *SMALL]) == 0
    trained = last_json(capsys.readouterr().out)
    assert trained["ndcg@10"] > 0.8, "an order that everybody follows is easy to learn"
    assert (out / "training" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "NDCG" in (out / "training" / "report.html").read_text()
    report = tmp_path / "report.html"
    assert main(["evaluate", str(out), str(log), *COLUMNS, "--report", str(report)]) == 0
    evaluated = last_json(capsys.readouterr().out)
    assert evaluated["ndcg@10"] == trained["ndcg@10"]
    assert evaluated["hr@10"] == trained["hr@10"]
    assert "data:image/png" in report.read_text()
    assert main(["evaluate", str(out), str(log), *COLUMNS, "--sampled", "5"]) == 0
    assert last_json(capsys.readouterr().out)["hr@5"] >= evaluated["hr@5"], "against 5 it is easier than against all"


def test_an_artifact_is_not_overwritten_by_mistake(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(log), "--out", str(tmp_path), "--preset", "popular", *COLUMNS]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "already holds an artifact" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_parts_can_be_mixed_by_name(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = ["--preset", "sasrec", "--encoder", "blossom", "--epochs", "1", "--dim", "16"]
    assert main(["train", str(log), "--out", str(tmp_path), *COLUMNS, *mixed]) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["encoder"]["name"], config["preset"]) == ("blossom", "custom")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--columns", "user=nobody,item=what,time=at"], "nobody"),
        (["--min-item-events", "1000"], "no item has 1000 or more events"),
        (["--epochs", "0"], "epochs"),
        (["--max-minutes", "0"], "max_minutes"),
        (["--dim", "15"], "dim 15"),
        (["--loss", "gbce", "--negatives", "0"], "num_negatives must be 1 or more"),
        (["--loss", "gbce", "--calibration", "2"], "calibration must be in [0, 1]"),
        (["--loss", "gbce", "--head", "adaptive"], "AdaptiveHead cannot be trained by gBCE"),
    ],
)
def test_a_mistake_is_one_line_and_no_artifact(
    change: list[str], told: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    assert main(["train", str(log), "--out", str(out), "--preset", "sasrec", *COLUMNS, *change]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("nextup: error: ")
    assert told in error
    assert not (out / "manifest.json").exists()


def test_a_folder_that_is_no_artifact_is_told(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), str(log), *COLUMNS]) == 1
    assert "holds no artifact" in capsys.readouterr().err
