"""`nextup bench serve` from the command line."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from app.commands.main import main
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.html_pages import parse_html

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NEXTUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXTUP_DATA_DIR", str(tmp_path / "var"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows = [{"user_id": f"u{n % 7}", "item_id": f"i{1 + n % 60}", "timestamp": 1_700_000_000 + n} for n in range(70)]
    path = tmp_path / "log.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


@pytest.mark.slow
def test_command_reports_a_log_and_an_artifact(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = write_tiny_artifact(tmp_path / "artifact")
    options = ["--seconds", "0.4", "--rounds", "2", "--connections", "4", "--min-rps", "1"]
    assert main(["bench", "serve", str(log), "--artifact", str(artifact), *options]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    result = json.loads(lines[-1])
    assert result["passed"] is True
    assert (result["users"], result["connections"], result["errors"]) == (7, 4, 0)
    assert result["ratio"] == pytest.approx(result["recommend_rps"] / result["echo_rps"], rel=0.01)
    assert result["served_by"].keys() == {"model"}, "the service reads the histories of the log from Redis"
    assert result["model_version"] == json.loads((artifact / "manifest.json").read_text())["version"]
    assert [line.split()[0] for line in lines[1:3]] == ["recommend", "echo"]
    assert not (tmp_path / "var").exists(), "a log is not loaded into the configured store"


@pytest.mark.slow
def test_worker_counts_and_a_peer_are_measured_at_a_rate(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_TORCH_THREADS", "1")
    artifact = write_tiny_artifact(tmp_path / "artifact")
    options = ["--seconds", "1", "--rounds", "1", "--rate", "60", "--writes", "0.3"]
    options += ["--workers", "2,1", "--peers", "naive", "--report", str(tmp_path / "report.html")]
    assert main(["bench", "serve", str(log), "--artifact", str(artifact), *options, "--record", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    for name in ("recommend", "recommend_2", "naive", "echo"):
        assert 25 < result[f"{name}_rps"] < 110, "the rate, not the capacity of the servers"
        assert result[f"{name}_errors"] == 0
    assert 5 < result["recommend_writes_rps"] < 40
    assert "naive_writes_rps" not in result
    assert result["scaling"] == {"2": result["recommend_2_rps"], "1": result["recommend_rps"]}
    assert result["same_answers"] == {"naive": 1.0}
    assert "naive" in (tmp_path / "serve.md").read_text()
    page = parse_html((tmp_path / "report.html").read_text())
    assert [row[0] for row in page.tables["Servers"][1:]] == ["recommend", "recommend_2", "naive", "echo"]
    assert page.tables["Servers"][1][1] == f"{result['recommend_rps']:,.0f}"


def test_empty_store_error_names_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "serve", "--artifact", str(tmp_path)]) == 1
    assert "run `nextup load` first" in capsys.readouterr().err


@pytest.mark.slow
def test_service_that_does_not_start_reports_the_reason(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "serve", str(log), "--artifact", str(tmp_path / "none"), "--seconds", "0.3"]) == 1
    error = capsys.readouterr().err
    assert "nextup serve ended with status 1" in error
    assert "holds no artifact" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--connections", "0"], "--connections must be between 1 and 10,000 (got 0)"),
        (["--rounds", "0"], "--rounds must be between 1 and 1,000 (got 0)"),
        (["--k", "-1"], "--k must be between 1 and 1,000 (got -1)"),
        (["--workers", "0"], "--workers takes values separated by commas, and each must be at least 1 (got 0)"),
        (["--seconds", "0"], "--seconds must be above 0 (got 0)"),
        (["--seconds", "nan"], "--seconds must be a finite number (got 'nan')"),
        (["--seconds", "0.01", "--rounds", "2"], "--seconds must be between 0.01 and 3,600 per round (got 0.005)"),
        (["--url", "http://127.0.0.1:1", "--artifact", "x"], "cannot be combined with a log, --artifact or --peers"),
        (["--url", "http://127.0.0.1:1", "--peers", "naive"], "cannot be combined with a log, --artifact or --peers"),
        (["--workers", "1,x"], "and each must be a whole number (got 'x')"),
        (["--rate", "0"], "--rate must be above 0 and at most 1,000,000 (got 0)"),
        (["--writes", "1"], "--writes must be at least 0 and below 1 (got 1)"),
        (["--writes", "0.1"], "--writes would add synthetic events to the configured store"),
        (["--peers", "unknown"], "and each must be one of naive, torchserve, naive_native, torchserve_native"),
        (["--url", "https://127.0.0.1:1"], "--url must be http://host:port"),
        (["--url", "127.0.0.1:8000"], "--url must be http://host:port"),
        (["--url", "http://127.0.0.1:port"], "--url must be http://host:port"),
    ],
)
def test_invalid_option_error_states_option_bounds_and_value(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "serve", *options]) == 1
    assert message in capsys.readouterr().err
