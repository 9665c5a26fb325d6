"""`run_nextup train` as several processes: by torchrun to an artifact, and to an error where one of them is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service_tests.end_to_end.test_publish import SMALL, stored_log
from service_tests.models.training.rank_processes import rank_environment
from service_tests.support.nextup_process import COMMAND, find_free_port, make_environment, run_nextup

TRAIN = ["--epochs", "3", "--dropout", "0", "--no-intervals", *SMALL[2:]]
END_S = 60.0


def last_line(output: str) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(output.splitlines()[-1])
    return line


def test_torchrun_makes_the_artifact_that_one_process_makes(tmp_path: Path) -> None:
    log = str(stored_log(tmp_path))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "app.commands.main", "train", log, "--out", str(tmp_path / "two"), *TRAIN],
        capture_output=True,
        text=True,
        check=False,
        env=make_environment(tmp_path),
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 3:") == 2, "one voice, of two stages"
    assert done.stdout.count("test, 40 users") == 1
    two = last_line(done.stdout)
    one = last_line(run_nextup(tmp_path, "train", log, "--out", str(tmp_path / "one"), *TRAIN).stdout)
    assert two["valid_ndcg@10"] == pytest.approx(one["valid_ndcg@10"], abs=0.02)
    assert two["bytes"] == one["bytes"]
    evaluated = run_nextup(tmp_path, "evaluate", str(tmp_path / "two"), log)
    assert last_line(evaluated.stdout)["ndcg@10"] == pytest.approx(two["ndcg@10"])
    assert [path.name for path in (tmp_path / "two/training").rglob("checkpoint.pt*")] == []


@contextmanager
def two_ranks(tmp_path: Path, *arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Of a training that would go on for hours, started without torchrun: nobody looks after them."""
    log, port = str(stored_log(tmp_path)), find_free_port()
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


@pytest.mark.parametrize(("lost", "by"), [(0, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_rank_that_is_lost_ends_the_run_by_name(lost: int, by: signal.Signals, tmp_path: Path) -> None:
    with two_ranks(tmp_path, "--rank-wait", "10") as processes:
        checkpoint, end = tmp_path / "out/training/checkpoint.pt", time.monotonic() + END_S
        while not checkpoint.exists():
            assert time.monotonic() < end, "the training begins"
            time.sleep(0.1)
        os.kill(processes[lost].pid, by)
        told = processes[1 - lost].communicate(timeout=END_S)[1]
        assert processes[1 - lost].returncode == 1
        assert f"nextup: error: rank {1 - lost} of 2: another rank ended or did not answer in time" in told
        assert "Traceback" not in told
    assert not (tmp_path / "out/manifest.json").exists()


def test_ranks_that_were_told_different_things_end_by_name(tmp_path: Path) -> None:
    log, port = str(stored_log(tmp_path)), find_free_port()
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
        told = process.communicate(timeout=END_S)[1]
        assert told == f"nextup: error: rank {rank} of 2: options of rank 1 differ from those of rank 0\n"
        assert process.returncode == 1
