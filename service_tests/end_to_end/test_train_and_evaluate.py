"""`nextup train` and `nextup evaluate`: from a log to an artifact and its metrics."""

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.commands.main import main


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV log of 40 users who visit 20 items in one order, with custom column names."""
    rows = [
        {"customer": f"u{user}", "product": (user * 3 + step) % 20, "at": 1_700_000_000 + 60 * step}
        for user in range(40)
        for step in range(12)
    ]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


COLUMNS = ["--columns", "user=customer,item=product,time=at"]
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


def parse_last_line(text: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return result


def read_chart(page: str, name: str) -> str:
    """The picture of a report with this name, from its title to its end."""
    _, title, chart = page.partition(f'id="{name}-title"')
    assert title
    return chart.partition("</svg>")[0]


@pytest.mark.parametrize("preset", ["blossom", "sasrec", "blossomrec", "cprec", "lsan"])
def test_train_and_evaluate_report_the_same_metrics(
    preset: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    assert main(["train", str(log), "--out", str(out), "--preset", preset, *COLUMNS, *SMALL]) == 0
    trained = parse_last_line(capsys.readouterr().out)
    assert trained["ndcg@10"] > 0.8, "an order shared by all users is easy to learn"
    assert (out / "training" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "NDCG" in (page := (out / "training" / "report.html").read_text())
    assert 'id="validation-title">Validation NDCG@10<' in page, "the curve is drawn in the page"
    report = tmp_path / "report.html"
    assert main(["evaluate", str(out), str(log), *COLUMNS, "--report", str(report)]) == 0
    evaluated = parse_last_line(capsys.readouterr().out)
    assert evaluated["ndcg@10"] == trained["ndcg@10"]
    assert evaluated["hr@10"] == trained["hr@10"]
    assert read_chart(report.read_text(), "validation") == read_chart(page, "validation"), "the curve of the training"
    assert read_chart(report.read_text(), "loss") == read_chart(page, "loss")
    assert main(["evaluate", str(out), str(log), *COLUMNS, "--sampled", "5"]) == 0
    assert parse_last_line(capsys.readouterr().out)["hr@5"] >= evaluated["hr@5"], (
        "5 negatives are easier than the full catalogue"
    )


def test_time_limit_prints_a_plan_and_states_the_sample(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = ["--max-minutes", "0.02", "--preset", "sasrec", "--dim", "16", "--max-len", "20", "--learning-rate", "0.01"]
    assert main(["train", str(log), "--out", str(tmp_path), *COLUMNS, *limit]) == 0
    output = capsys.readouterr()
    assert "plan for 1 s: " in output.err
    result = json.loads(output.out.strip().splitlines()[-1])
    assert (result["test_users"], result["test_is_sample"]) == (40, False)
    assert result["plan"]["limit_s"] == pytest.approx(1.2)
    assert result["plan"]["choices"]["schedule"] == "linear"
    assert "learning_rate" not in result["plan"]["choices"], "options on the command line win"
    assert main(["evaluate", str(tmp_path), str(log), *COLUMNS]) == 0
    assert parse_last_line(capsys.readouterr().out)["ndcg@10"] == result["ndcg@10"]


def test_limit_of_cpu_time_reports_cpu_seconds(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = ["--max-minutes", "0.02", "--clock", "cpu", "--threads", "1", "--preset", "sasrec", "--dim", "16"]
    started_at = time.process_time()
    assert main(["train", str(log), "--out", str(tmp_path), *COLUMNS, *limit]) == 0
    result = parse_last_line(capsys.readouterr().out)
    assert result["clock"] == "cpu"
    assert result["seconds"] <= time.process_time() - started_at + 0.1


def test_existing_artifact_is_not_overwritten_without_the_option(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(log), "--out", str(tmp_path), "--preset", "popular", *COLUMNS]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "already holds an artifact" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_parts_of_presets_can_be_combined(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = ["--preset", "sasrec", "--encoder", "blossom", "--epochs", "1", "--dim", "16"]
    assert main(["train", str(log), "--out", str(tmp_path), *COLUMNS, *parts]) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["encoder"]["name"], config["preset"]) == ("blossom", "custom")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--columns", "user=missing,item=product,time=at"], "missing"),
        (["--min-item-events", "1000"], "no item has 1000 or more events"),
        (["--epochs", "0"], "--epochs must be at least 1 (got 0)"),
        (["--max-minutes", "0"], "--max-minutes must be above 0 (got 0)"),
        (["--clock", "cpu", "--threads", "2"], "--clock cpu requires --threads 1 (got 2)"),
        (["--dim", "15"], "dim 15"),
        (["--loss", "gbce", "--negatives", "0"], "num_negatives must be 1 or more"),
        (["--loss", "gbce", "--calibration", "2"], "--calibration must be between 0 and 1 (got 2)"),
        (["--loss", "gbce", "--head", "adaptive"], "AdaptiveHead cannot be trained by gBCE"),
    ],
)
def test_invalid_option_is_one_error_line_and_writes_no_artifact(
    change: list[str], message: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    assert main(["train", str(log), "--out", str(out), "--preset", "sasrec", *COLUMNS, *change]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("nextup: error: ")
    assert message in error
    assert not (out / "manifest.json").exists()


def test_folder_without_an_artifact_is_rejected(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), str(log), *COLUMNS]) == 1
    assert "holds no artifact" in capsys.readouterr().err
