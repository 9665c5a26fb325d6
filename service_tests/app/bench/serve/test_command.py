"""`nextup bench serve` as it is typed."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from app.commands.main import main
from service_tests.support.artifacts import write_tiny_artifact


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_log_and_an_artifact_give_a_table_and_figures(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_tiny_artifact(tmp_path / "artifact")
    what = ["--seconds", "0.4", "--rounds", "2", "--connections", "4", "--min-rps", "1"]
    assert main(["bench", "serve", str(log), "--artifact", str(artifact), *what]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    found = json.loads(lines[-1])
    assert found["passed"] is True
    assert (found["users"], found["connections"], found["errors"]) == (7, 4, 0)
    assert found["ratio"] == pytest.approx(found["recommend_rps"] / found["echo_rps"], rel=0.01)
    assert found["served_by"].keys() == {"model"}, "the service found the histories of the log in Redis"
    assert found["model_version"] == json.loads((artifact / "manifest.json").read_text())["version"]
    assert [line.split()[0] for line in lines[1:3]] == ["recommend", "echo"]
    assert not (tmp_path / "var").exists(), "a log that is named does not touch the store as set"


@pytest.mark.slow
def test_worker_counts_and_a_peer_are_measured_in_one_run_at_a_rate(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_TORCH_THREADS", "1")
    artifact = write_tiny_artifact(tmp_path / "artifact")
    what = [
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--rate",
        "60",
        "--writes",
        "0.3",
        "--workers",
        "2,1",
        "--peers",
        "naive",
    ]
    assert main(["bench", "serve", str(log), "--artifact", str(artifact), *what, "--record", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    for name in ("recommend", "recommend_2", "naive", "echo"):
        assert 25 < found[f"{name}_rps"] < 110, "the rate, and not what they could do"
        assert found[f"{name}_errors"] == 0
    assert 5 < found["recommend_writes_rps"] < 40
    assert "naive_writes_rps" not in found
    assert found["scaling"] == {"2": found["recommend_2_rps"], "1": found["recommend_rps"]}
    assert found["same_answers"] == {"naive": 1.0}
    assert "naive" in (tmp_path / "serve.md").read_text()


def test_a_store_without_histories_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "serve", "--artifact", str(tmp_path)]) == 1
    assert "`nextup load` a log first" in capsys.readouterr().err


@pytest.mark.slow
def test_a_service_that_does_not_start_says_why(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "serve", str(log), "--artifact", str(tmp_path / "none"), "--seconds", "0.3"]) == 1
    told = capsys.readouterr().err
    assert "nextup serve ended with status 1" in told
    assert "holds no artifact" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--connections", "0"], "--connections is 0"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--k", "-1"], "--k is -1"),
        (["--workers", "0"], "--workers is 0"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--seconds", "nan"], "--seconds is nan"),
        (["--url", "http://127.0.0.1:1", "--artifact", "x"], "leave those out"),
        (["--url", "http://127.0.0.1:1", "--peers", "naive"], "leave those out"),
        (["--workers", "1,x"], "--workers is 1,x"),
        (["--rate", "0"], "--rate is 0"),
        (["--writes", "1"], "--writes is 1"),
        (["--writes", "0.1"], "made-up events into the store as set"),
        (["--peers", "nobody"], "--peers has 'nobody'"),
        (["--url", "https://127.0.0.1:1"], "--url is https"),
        (["--url", "127.0.0.1:8000"], "--url is 127"),
        (["--url", "http://127.0.0.1:port"], "--url is http"),
    ],
)
def test_what_makes_no_sense_is_told_by_its_option(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "serve", *words]) == 1
    assert told in capsys.readouterr().err
