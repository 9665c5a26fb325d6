"""The service on a local Ray cluster, as a test sees it: an address, and the processes of its replicas.

They are looked for among the descendants of the process that was started here, so that nothing else is ever killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from service_tests.nextup_process import ROOT, environment, free_port

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (make ray)")

END_S = 30.0
RAY_PROCESSES = ()


@dataclass(frozen=True)
class RayCluster:
    url: str
    pid: int
    steps_s: dict[str, float]
    """What its start took, by step."""

    def replicas(self) -> set[int]:
        """Process ids."""
        return {pid for pid in descendants(self.pid) if _command(pid).startswith("ray::ServeReplica:nextup")}


@contextmanager
def ray_cluster(folder: Path, **variables: str) -> Iterator[RayCluster]:
    """`variables`: of the environment of all nodes. Everything that was started has ended when the block has."""
    port = free_port()
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service_tests.ray_nodes", str(port)],
            env=environment(folder, RAY_USAGE_STATS_ENABLED="0", **variables),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()  # its end, too, ends the wait; pytest's timeout is the bound
            assert line, f"the cluster did not start:\n{(folder / 'ray.log').read_text()[-4000:]}"
            steps = {name: float(value) for name, value in json.loads(line).items() if name != "ready"}
            yield RayCluster(f"http://127.0.0.1:{port}", process.pid, steps)
        finally:
            started = descendants(process.pid)
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            for pid in [process.pid, *(pid for pid in started if _command(pid).startswith(("ray::", *RAY_PROCESSES)))]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        children.setdefault(_parent(int(path.name)), []).append(int(path.name))
    found = [pid]
    for one in found:  # which grows meanwhile
        found += children.get(one, [])
    return found[1:]


def until_there(cluster: RayCluster, number: int, *, other_than: set[int], within_s: float) -> set[int]:
    """The replicas as soon as there are so many, none of them among those given."""
    end = time.monotonic() + within_s
    while len(found := cluster.replicas() - other_than) < number:
        assert time.monotonic() < end, f"{found} after {within_s} s"
        time.sleep(0.1)
    return found


def _parent(pid: int) -> int:
    """0 for a process that is not there any more."""
    fields = _read(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[1]) if fields else 0


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return b""
