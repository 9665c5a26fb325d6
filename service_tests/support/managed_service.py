"""`nextup serve` that a test starts, ends and starts again on one port, as a service manager would."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service_tests.support.nextup_process import COMMAND, RunningService, find_free_port, make_environment

START_S = 100.0
STOP_S = 30.0


@dataclass
class ManagedService:
    """Its output goes to `folder`/service.log; `variables` are added to its environment."""

    folder: Path
    options: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    data_dir: Path | None = None
    port: int = field(default_factory=find_free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{self.port}"
        self.running: RunningService | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "serve", "--port", str(self.port), *self.options],
                env=make_environment(self.data_dir or self.folder / "data", **self.variables),
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.running = RunningService(process, self.url)

    @property
    def log_file(self) -> Path:
        return self.folder / "service.log"

    @property
    def service(self) -> RunningService:
        assert self.running is not None, "the service was started"
        return self.running

    def wait_until_ready(self, path: str = "/readyz") -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.service.process.poll() is not None:
                break
            try:
                if httpx.get(self.url + path, timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the service was not ready; the end of its log:\n{self.read_log()[-2000:]}")

    def send_signal(self, number: signal.Signals) -> None:
        self.service.process.send_signal(number)

    def kill(self) -> None:
        """Kill the supervisor, not its processes."""
        self.service.process.kill()
        self.service.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM and wait for the end; AssertionError if the service ignores it."""
        process = self.service.process
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"the service ignores SIGTERM:\n{self.read_log()[-2000:]}") from None

    def read_log(self) -> str:
        return self.log_file.read_text(errors="replace")
