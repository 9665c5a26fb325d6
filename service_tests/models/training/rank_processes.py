"""Test ranks: real processes that join by gloo on this machine and run one job each.

A job is a module-level function of its Ranks and a folder; torch saves its result.
"""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.ranks import Ranks
from models.training.launch import join_ranks
from service_tests.support.nextup_process import find_free_port

CPU = torch.device("cpu")
WAIT_S = 30.0
JOB_S = 100.0

Job = Callable[[Ranks, Path], Any]


def run_on_ranks(size: int, job: Job, folder: Path) -> list[Any]:
    """Return the job's result on each rank; RuntimeError with all tracebacks if one failed."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    port = find_free_port()
    processes = [context.Process(target=_run, args=(rank, size, port, job, folder)) for rank in range(size)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(JOB_S)
    finally:
        for process in processes:
            process.kill()
            process.join()
    tracebacks = "\n".join(path.read_text() for path in sorted(folder.glob("*.failed")))
    if tracebacks or any(process.exitcode for process in processes):
        raise RuntimeError(f"exit statuses {[process.exitcode for process in processes]}\n{tracebacks}")
    return [torch.load(folder / f"{rank}.returned", weights_only=False) for rank in range(size)]


def _run(rank: int, size: int, port: int, job: Job, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(rank_environment(rank, size, port))
    try:
        with join_ranks(CPU, WAIT_S) as ranks:
            torch.save(job(ranks, folder), folder / f"{rank}.returned")
        assert list_group_threads() == [], "a remaining thread may abort the process at exit"
    except Exception:
        (folder / f"{rank}.failed").write_text(traceback.format_exc())
        raise


def rank_environment(rank: int, size: int, port: int) -> dict[str, str]:
    """The environment that torchrun sets on a machine with all ranks."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def list_group_threads() -> list[str]:
    """List gloo's threads in this process; always empty except on Linux."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]
