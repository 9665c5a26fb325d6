"""TorchServe as the benchmark installs it: a separate Python environment, an archive, a configuration, a server.

Configured for throughput as its guide recommends: several worker processes, batches of at most 32 within 2 ms, no
token. PeerMissing names a missing requirement. `torchserve_handler.py` computes its responses.
"""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from app.bench.processes import LOOPBACK, ChildProcess, find_free_port, run_child
from app.bench.serve.peers import torchserve_handler as handler
from app.bench.serve.rounds import Target
from app.runtime.subprocesses import ChildFailed, build_child_environment

WORKERS = 3
BATCH, DELAY_MS = 32, 2
START_S = 180.0
INSTALL_S = 1800.0
REQUEST_TIMEOUT_S = 30.0
REQUIREMENTS = (
    "torchserve", "torch-model-archiver", "captum", "fastapi", "msgspec", "numpy", "packaging", "polars",
    "prometheus-client", "psutil", "pydantic-settings", "pyyaml", "redis[hiredis]", "requests", "safetensors",
)  # fmt: skip
"""Packages that TorchServe and nextup's model code import."""


class PeerMissing(RuntimeError):
    """The peer cannot run on this machine; the text states the reason."""


def find_java() -> Path:
    """Find the Java executable; PeerMissing if there is none on PATH or in JAVA_HOME."""
    home = os.environ.get("JAVA_HOME")
    home_java = Path(home) / "bin" / "java" if home else None
    executable = str(home_java) if home_java and home_java.is_file() else shutil.which("java")
    if executable is None:
        raise PeerMissing("no Java on PATH or in JAVA_HOME")
    return Path(executable)


def ensure_environment(folder: Path) -> Path:
    """Return the Python of the TorchServe environment in `folder`, creating it first; PeerMissing if that fails."""
    interpreter = folder / "bin" / "python"
    # An existing environment may be outdated, so its requirements are installed again.
    commands = [[str(interpreter), "-m", "pip", "install", "-q", *REQUIREMENTS]]
    if not (folder / "bin" / "torchserve").is_file():
        torch = f"torch=={version('torch').partition('+')[0]}"
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(interpreter), "-m", "pip", "install", "-q", "setuptools<81", torch],
            *commands,
        ]
    for command in commands:
        _run_command(command, "cannot create its environment", INSTALL_S)
    return interpreter


@contextmanager
def run_torchserve(name: str, folder: Path, artifact: Path, redis_url: str, *, native: bool) -> Iterator[Target]:
    """Run TorchServe from the environment in `folder`, with the model on torch or on native code.

    PeerMissing if a requirement is missing, ChildFailed if it does not start.
    """
    java = find_java()
    interpreter = ensure_environment(folder)
    ports = [find_free_port() for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="nextup-torchserve-") as temporary:
        store = Path(temporary)
        archive = [
            "--model-name", "nextup", "--version", "1.0", "--handler", handler.__file__, "--export-path", temporary,
        ]  # fmt: skip
        _run_command(
            [str(interpreter.with_name("torch-model-archiver")), *archive],
            "cannot create its archive",
            START_S,
            TMPDIR=temporary,
        )
        (store / "config.properties").write_text(format_configuration(ports))
        options = ["--start", "--foreground", "--ncs", "--model-store", temporary, "--models", "nextup=nextup.mar"]
        options += ["--ts-config", str(store / "config.properties"), "--disable-token-auth"]
        variables = {
            handler.ARTIFACT: str(artifact.resolve()),
            handler.REDIS: redis_url,
            handler.BATCH: str(BATCH),
            handler.NATIVE: str(int(native)),
            "LOG_LOCATION": temporary,
            "METRICS_LOCATION": temporary,
            "TEMP": temporary,
            "PATH": os.pathsep.join([str(java.parent), str(interpreter.parent), os.environ.get("PATH", "")]),
        }
        with run_child(
            "torchserve", [str(interpreter.with_name("torchserve")), *options], variables, str(interpreter)
        ) as process:
            _wait_until_serving(process, ports[0])
            yield Target(name, LOOPBACK, ports[0], "/predictions/nextup", process)


def format_configuration(ports: list[int]) -> str:
    """Format config.properties; `ports` are those of inference, management and metrics."""
    addresses = zip(("inference", "management", "metrics"), ports, strict=True)
    model = (
        f'"marName": "nextup.mar", "minWorkers": {WORKERS}, "maxWorkers": {WORKERS}, '
        f'"batchSize": {BATCH}, "maxBatchDelay": {DELAY_MS}, "responseTimeout": 120'
    )
    lines = [
        *(f"{name}_address=http://{LOOPBACK}:{port}" for name, port in addresses),
        "disable_token_authorization=true",
        "disable_system_metrics=true",
        f'models={{"nextup": {{"1.0": {{{model}}}}}}}',
    ]
    return "\n".join(lines) + "\n"


def _wait_until_serving(process: ChildProcess, port: int) -> None:
    """Wait for a successful response: the server listens long before its workers are ready."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        process.check_running()
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request(
                "POST", "/predictions/nextup", b'{"user_id": "unknown"}', {"content-type": "application/json"}
            )
            if connection.getresponse().status == http.HTTPStatus.OK:
                return process.wait_until_ready(port, "/ping", WORKERS)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise ChildFailed(f"torchserve was not ready within {START_S:.0f} s:\n{process.read_tail()}")


def _run_command(command: list[str], error_prefix: str, timeout_s: float, **variables: str) -> None:
    try:
        process = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, env=build_child_environment(variables), timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{error_prefix}: {error}") from error
    if process.returncode:
        last_line = process.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise PeerMissing(f"{error_prefix}: {last_line[0]}")
