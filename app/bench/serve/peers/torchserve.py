"""TorchServe set up by the benchmark itself: a Python environment of its own, an archive, a configuration, a server.

Set up as its guide says for throughput: several worker processes, batches of at most 32 within 2 ms, no token. What it
needs and does not find is a PeerMissing, with the reason. What it answers is in `torchserve_handler.py`.
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
READY_S = 180.0
INSTALL_S = 1800.0
NEEDED = (
    "torchserve", "torch-model-archiver", "captum", "fastapi", "msgspec", "numpy", "packaging", "polars",
    "prometheus-client", "psutil", "pydantic-settings", "pyyaml", "redis[hiredis]", "requests", "safetensors",
)  # fmt: skip
"""What TorchServe and the project's own model code import."""


class PeerMissing(RuntimeError):
    """The peer cannot be measured here; the text says why."""


def find_java() -> Path:
    """PeerMissing if there is none on PATH or in JAVA_HOME."""
    home = os.environ.get("JAVA_HOME")
    at_home = Path(home) / "bin" / "java" if home else None
    found = str(at_home) if at_home and at_home.is_file() else shutil.which("java")
    if found is None:
        raise PeerMissing("no Java on PATH or in JAVA_HOME")
    return Path(found)


def ensure_environment(folder: Path) -> Path:
    """The Python of an environment with TorchServe in it, made if it is not there; PeerMissing if that fails."""
    interpreter = folder / "bin" / "python"
    commands = [[str(interpreter), "-m", "pip", "install", "-q", *NEEDED]]  # again too: what is needed may have grown
    if not (folder / "bin" / "torchserve").is_file():
        torch = f"torch=={version('torch').partition('+')[0]}"
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(interpreter), "-m", "pip", "install", "-q", "setuptools<81", torch],
            *commands,
        ]
    for command in commands:
        _run(command, "its environment could not be made", INSTALL_S)
    return interpreter


@contextmanager
def torchserve(name: str, folder: Path, artifact: Path, redis_url: str, *, native: bool) -> Iterator[Target]:
    """A running TorchServe, its Python environment in `folder`, the model on torch or on our native code.

    PeerMissing, or ChildFailed if it does not start.
    """
    found = find_java()
    interpreter = ensure_environment(folder)
    ports = [find_free_port() for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="nextup-torchserve-") as place:
        store = Path(place)
        archive = [
            "--model-name", "nextup", "--version", "1.0", "--handler", handler.__file__, "--export-path", place,
        ]  # fmt: skip
        _run(
            [str(interpreter.with_name("torch-model-archiver")), *archive],
            "its archive could not be made",
            READY_S,
            TMPDIR=place,
        )
        (store / "config.properties").write_text(format_configuration(ports))
        options = ["--start", "--foreground", "--ncs", "--model-store", place, "--models", "nextup=nextup.mar"]
        options += ["--ts-config", str(store / "config.properties"), "--disable-token-auth"]
        variables = {
            handler.ARTIFACT: str(artifact.resolve()),
            handler.REDIS: redis_url,
            handler.BATCH: str(BATCH),
            handler.NATIVE: str(int(native)),
            "LOG_LOCATION": place,
            "METRICS_LOCATION": place,
            "TEMP": place,
            "PATH": os.pathsep.join([str(found.parent), str(interpreter.parent), os.environ.get("PATH", "")]),
        }
        with run_child(
            "torchserve", [str(interpreter.with_name("torchserve")), *options], variables, str(interpreter)
        ) as it:
            _wait(it, ports[0])
            yield Target(name, LOOPBACK, ports[0], "/predictions/nextup", it)


def format_configuration(ports: list[int]) -> str:
    """`ports` of inference, management and metrics."""
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


def _wait(process: ChildProcess, port: int) -> None:
    """Until a request is answered: the server is up long before its workers."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        process.check_running()
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30.0)
        try:
            connection.request(
                "POST", "/predictions/nextup", b'{"user_id": "nobody"}', {"content-type": "application/json"}
            )
            if connection.getresponse().status == http.HTTPStatus.OK:
                return process.wait_until_ready(port, "/ping", WORKERS)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise ChildFailed(f"torchserve was not ready within {READY_S:.0f} s:\n{process.read_tail()}")


def _run(command: list[str], otherwise: str, longest_s: float, **variables: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, env=build_child_environment(variables), timeout=longest_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{otherwise}: {error}") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise PeerMissing(f"{otherwise}: {last[0]}")
