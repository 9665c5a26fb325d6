"""`nextup train` on several ranks: an artifact with torchrun, and an error when a rank is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service_tests.end_to_end.test_publish import SMALL, write_log
from service_tests.models.training.rank_processes import rank_environment
from service_tests.support.nextup_process import COMMAND, find_free_port, make_environment, run_nextup
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.process

TRAIN = ["--epochs", "3", "--dropout", "0", "--no-intervals", *SMALL[2:]]
TIMEOUT_S = 60.0


def parse_last_line(output: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def test_torchrun_trains_the_same_artifact_as_one_process(tmp_path: Path) -> None:
    log = str(write_log(tmp_path))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    process = subprocess.run(
        [*torchrun, "-m", "app.commands.main", "train", log, "--out", str(tmp_path / "distributed"), *TRAIN],
        capture_output=True,
        text=True,
        check=False,
        env=make_environment(tmp_path),
        timeout=100,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("epoch 3:") == 2, "only the first rank prints, once per stage"
    assert process.stdout.count("test, 40 users") == 1
    distributed = parse_last_line(process.stdout)
    single = parse_last_line(run_nextup(tmp_path, "train", log, "--out", str(tmp_path / "single"), *TRAIN).stdout)
    assert distributed["valid_ndcg@10"] == pytest.approx(single["valid_ndcg@10"], abs=0.02)
    assert distributed["bytes"] == single["bytes"]
    evaluated = run_nextup(tmp_path, "evaluate", str(tmp_path / "distributed"), log)
    assert parse_last_line(evaluated.stdout)["ndcg@10"] == pytest.approx(distributed["ndcg@10"])
    assert [path.name for path in (tmp_path / "distributed/training").rglob("checkpoint.pt*")] == []


@contextmanager
def start_two_ranks(tmp_path: Path, *arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start two ranks of a run that takes hours, without torchrun, so nothing supervises them."""
    log, port = str(write_log(tmp_path)), find_free_port()
    train = ["train", log, "--out", str(tmp_path / "out"), "--preset", "sasrec", *SMALL[2:]]
    processes = [
        subprocess.Popen(
            [*COMMAND, *train, "--epochs", "1000000", "--patience", "1000000", *arguments],
            env=make_environment(tmp_path, **rank_environment(rank, 2, port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(("lost_rank", "sent_signal"), [(0, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_lost_rank_ends_the_run_with_an_error(lost_rank: int, sent_signal: signal.Signals, tmp_path: Path) -> None:
    with start_two_ranks(tmp_path, "--rank-wait", "10") as processes:
        checkpoint = tmp_path / "out/training/checkpoint.pt"
        wait_until(checkpoint.exists, TIMEOUT_S, "training did not start")
        os.kill(processes[lost_rank].pid, sent_signal)
        survivor = 1 - lost_rank
        errors = processes[survivor].communicate(timeout=TIMEOUT_S)[1]
        assert processes[survivor].returncode == 1
        assert f"nextup: error: rank {survivor} of 2: another rank ended or did not answer in time" in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "out/manifest.json").exists()


def test_ranks_with_different_options_fail(tmp_path: Path) -> None:
    log, port = str(write_log(tmp_path)), find_free_port()
    processes = [
        subprocess.Popen(
            [*COMMAND, "train", log, "--out", str(tmp_path / "out"), *TRAIN, *more],
            env=make_environment(tmp_path, **rank_environment(rank, 2, port)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, more in enumerate(([], ["--resume"]))
    ]
    for rank, process in enumerate(processes):
        errors = process.communicate(timeout=TIMEOUT_S)[1]
        assert errors == f"nextup: error: rank {rank} of 2: options of rank 1 differ from those of rank 0\n"
        assert process.returncode == 1
