"""Run the `nextup` command as users do: real processes, an embedded Redis and a real socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

START_S = 300.0
"""The demo trains before it is ready: 40 s of CPU time, on a machine that may run two other tests."""
COMMAND_S = 300.0
"""A training of an epoch takes 30 s on two idle cores, and three times as long beside two other tests."""
STOP_S = 60.0
"""Much longer than a drain, which `service_tests/failures/test_drain.py` bounds."""
COMMAND = [sys.executable, "-c", "import sys; from app.commands.main import main; sys.exit(main())"]
ROOT = Path(__file__).parents[2]


def make_environment(data_dir: Path, **more: str) -> dict[str, str]:
    """The environment of a child process, without NEXTUP_ variables of this one; `more` overrides it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEXTUP_")}
    defaults = {
        "NEXTUP_DATA_DIR": str(data_dir),
        "NEXTUP_TORCH_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")]),
    }
    return inherited | defaults | more


def run_nextup(
    data_dir: Path, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one command and wait for it; `variables` are added to its environment."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=make_environment(data_dir, **variables),
        cwd=cwd,
        timeout=COMMAND_S,
    )


@dataclass(frozen=True)
class RunningService:
    """A started service; `output` is filled when it has exited."""

    process: subprocess.Popen[str]
    url: str
    output: list[str] = field(default_factory=list)


@contextmanager
def run_service(
    data_dir: Path, *arguments: str, wait_for: str = "/readyz", cwd: str | Path | None = None, **variables: str
) -> Iterator[RunningService]:
    """Run the service in `cwd` until the block ends; then it must exit within `STOP_S` of SIGTERM.

    `variables` are added to its environment. The block begins when `wait_for` answers 200. The drain has no notice,
    which would take a second per service.
    """
    port = find_free_port()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port), *arguments],
        env=make_environment(data_dir, **{"NEXTUP_DRAIN_NOTICE_S": "0", **variables}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        start_new_session=True,
    )
    service = RunningService(process, f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(process, service.url + wait_for)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            service.output.extend(process.communicate(timeout=STOP_S)[0].splitlines())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise


def _wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            output = process.communicate()[0]
            raise RuntimeError(f"nextup serve exited with status {process.returncode}:\n{output}")
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"nextup serve was not ready within {START_S:.0f} s")


def read_samples(url: str, name: str) -> dict[str, float]:
    """Scrape the samples of one metric, by their labels."""
    response = httpx.get(f"{url}/metrics", timeout=60)
    assert response.status_code == 200, response.text
    families = text_string_to_metric_families(response.text)
    return {str(sorted(s.labels.items())): s.value for family in families for s in family.samples if s.name == name}


def find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
