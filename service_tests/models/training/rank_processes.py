"""Ranks for tests: real processes that join by gloo on this machine, run one job each, and hand back what it returned.

A job is a function of a module, of its Ranks and a folder; it comes back as torch saves it.
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


def on_ranks(size: int, job: Job, folder: Path) -> list[Any]:
    """What the job returned on each rank; RuntimeError with all tracebacks where one failed."""
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
    failed = "\n".join(path.read_text() for path in sorted(folder.glob("*.failed")))
    if failed or any(process.exitcode for process in processes):
        raise RuntimeError(f"exit statuses {[process.exitcode for process in processes]}\n{failed}")
    return [torch.load(folder / f"{rank}.returned", weights_only=False) for rank in range(size)]


def _run(rank: int, size: int, port: int, job: Job, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(rank_environment(rank, size, port))
    try:
        with join_ranks(CPU, WAIT_S) as ranks:
            torch.save(job(ranks, folder), folder / f"{rank}.returned")
        assert threads_of_the_group() == [], "a thread that is left may abort the process at its end"
    except Exception:
        (folder / f"{rank}.failed").write_text(traceback.format_exc())
        raise


def rank_environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun tells a process on a machine that has all ranks."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def threads_of_the_group() -> list[str]:
    """Names of gloo's threads in this process; none are seen but on Linux."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]
