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
from importlib.util import find_spec
from pathlib import Path

import pytest

from service_tests.support.nextup_process import ROOT, find_free_port, make_environment

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (make ray)")

END_S = 30.0
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else the one proxy asks the replica beside it and leaves the other alone.
    "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",
}


class RayCluster:
    """Reached at `url`; `steps_s` is what its start took, by step."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url
        self.steps_s: dict[str, float] = {**self._said(), **self._said()}

    def replicas(self) -> set[int]:
        """Process ids."""
        return {pid for pid in descendants(self._process.pid) if _command(pid).startswith("ray::ServeReplica:nextup")}

    def deploy_anew(self) -> float:
        """The same once more, replica after replica; the seconds that it took."""
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        return self._said()["deploy_s"]

    def _said(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # its end, too, ends the wait; pytest's timeout is the bound
            if line.startswith("{"):  # Ray tells its own in between
                steps: dict[str, float] = json.loads(line)
                return steps
        raise RuntimeError(f"the cluster ended with {self._process.wait()}")


@contextmanager
def ray_cluster(folder: Path, **variables: str) -> Iterator[RayCluster]:
    """`variables`: of the environment of all nodes. Everything that was started has ended when the block has."""
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
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    began = {pid: _began(pid) for pid in descendants(process.pid)}
    process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, moment in began.items():
        if moment and _began(pid) == moment:  # it is still the same process
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
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


def _began(pid: int) -> int:
    """Clock ticks since the machine started; 0 for a process that is not there any more."""
    fields = _read(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[19]) if fields else 0


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return b""
