"""The service on a local Ray cluster: its address and the processes of its replicas.

Replicas are searched among the descendants of the process started here, so that no other process is ever killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from service_tests.support.nextup_process import ROOT, find_free_port, make_environment

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (make ray)")

STOP_TIMEOUT_S = 30.0
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The only proxy would otherwise route every request to the replica on its node.
    "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",
}


class RayCluster:
    """A running cluster; `steps_s` are the seconds that each step of its start took."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url
        self.steps_s: dict[str, float] = {**self._read_steps(), **self._read_steps()}

    def find_replicas(self) -> set[int]:
        """Find the process ids of the replicas."""
        pids = find_descendants(self._process.pid)
        return {pid for pid in pids if _read_command(pid).startswith("ray::ServeReplica:nextup")}

    def redeploy(self) -> float:
        """Deploy again, replica after replica; return the seconds that it took."""
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        return self._read_steps()["deploy_s"]

    def _read_steps(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # ends when the process exits; bounded by pytest's timeout
            if line.startswith("{"):  # other lines are from Ray
                steps: dict[str, float] = json.loads(line)
                return steps
        raise RuntimeError(f"the cluster exited with status {self._process.wait()}")


@contextmanager
def run_ray_cluster(folder: Path, **variables: str) -> Iterator[RayCluster]:
    """Run the cluster until the block ends; `variables` are added to the environment of all nodes."""
    port = find_free_port()
    with (folder / "ray.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service_tests.support.ray_nodes", str(port)],
            env=make_environment(folder, **RAY, **variables),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield RayCluster(process, f"http://127.0.0.1:{port}")
        except RuntimeError as error:
            log.seek(0)
            error.add_note(log.read()[-4000:])
            raise
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    start_ticks = {pid: _read_start_ticks(pid) for pid in find_descendants(process.pid)}
    process.stdin.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, ticks in start_ticks.items():
        if ticks and _read_start_ticks(pid) == ticks:  # still the same process
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.stdout.close()


def find_descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        children.setdefault(_read_parent(int(path.name)), []).append(int(path.name))
    pids = [pid]
    for parent in pids:  # the list grows during the loop
        pids += children.get(parent, [])
    return pids[1:]


def wait_for_replicas(cluster: RayCluster, number: int, *, other_than: set[int], timeout_s: float) -> set[int]:
    """Wait for at least `number` replicas that are not in `other_than`; return them."""
    deadline = time.monotonic() + timeout_s
    while len(replicas := cluster.find_replicas() - other_than) < number:
        assert time.monotonic() < deadline, f"{replicas} after {timeout_s} s"
        time.sleep(0.1)
    return replicas


def _read_parent(pid: int) -> int:
    """0 for a process that no longer exists."""
    fields = _read_proc(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[1]) if fields else 0


def _read_start_ticks(pid: int) -> int:
    """Start time in clock ticks since boot; 0 for a process that no longer exists."""
    fields = _read_proc(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[19]) if fields else 0


def _read_command(pid: int) -> str:
    return _read_proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read_proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has exited, or belongs to another user
        return b""
