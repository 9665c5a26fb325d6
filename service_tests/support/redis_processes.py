"""Real redis-server processes on loopback, which a test may kill, pause and start again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.stores.redis.servers import find_redis_server
from service_tests.support.waiting import wait_until

START_S = 60.0
STOP_S = 60.0
STATE_TIMEOUT_S = 30.0
MAX_START_TRIES = 5
CLUSTER_BUS_OFFSET = 10_000
"""A cluster node also listens on its port plus this."""


def wait_for_redis(condition: Callable[[], object], description: str) -> None:
    """Wait until servers reach a state; an error of Redis counts as not yet."""
    wait_until(condition, STATE_TIMEOUT_S, description, ignored=RedisError)


def find_free_port() -> int:
    """Return a free port whose cluster bus port is free as well."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                bus.bind(("127.0.0.1", port + CLUSTER_BUS_OFFSET))
            except (OSError, OverflowError):
                continue
            return port


class RedisProcess:
    """A server with `options` of redis.conf; with a `configuration` it is a Sentinel, which writes into that file.

    `program` is the executable, by default the preferred one of this machine.
    """

    def __init__(
        self, folder: Path, options: dict[str, str], configuration: str | None = None, program: str | None = None
    ) -> None:
        folder.mkdir(parents=True)
        self._program = program or find_redis_server()
        self.folder = folder
        self._options = options
        self._configuration = configuration
        for _ in range(MAX_START_TRIES):
            self.port = find_free_port()
            if self.start():
                return
        raise AssertionError(f"no redis-server started; see {folder}/redis.log")

    def start(self) -> bool:
        """Start on the same port with the data of the last run; False if the process exits (port taken)."""
        command = [self._program]
        if self._configuration is not None:
            conf = self.folder / "sentinel.conf"
            if not conf.exists():
                conf.write_text(self._configuration)
            command += [str(conf), "--sentinel"]
        options = {"port": str(self.port), "bind": "127.0.0.1", **self._options}
        command += [word for name, value in options.items() for word in (f"--{name}", *value.split(" "))]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        with self.connect() as client:
            deadline = time.monotonic() + START_S
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    client.ping()
                except RedisError:
                    time.sleep(0.01)
                else:
                    return True
        self.kill()
        return False

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def connect(self) -> Redis:
        """Open a client for a `with` block; it does not retry and waits for at most a second."""
        return Redis(port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0), decode_responses=True)

    def read_role(self) -> str:
        """Ask the server for its role: master or slave."""
        with self.connect() as client:
            return str(client.info("replication")["role"])

    def is_replica_of(self, primary: "RedisProcess") -> bool:
        """Whether this is a replica of `primary` whose initial sync is complete, so that it receives each write."""
        with self.connect() as client:
            replication = client.info("replication")
        return bool(replication.get("master_port") == primary.port and replication["master_link_status"] == "up")

    def kill(self) -> None:
        """Kill the process immediately, like a power failure."""
        self._process.kill()
        self._process.wait(STOP_S)

    def pause(self) -> None:
        """Stop the process by signal until `resume`: it keeps its connections and does not answer."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the process; may be called twice, and while it is paused."""
        if self.is_running:
            self.kill()
