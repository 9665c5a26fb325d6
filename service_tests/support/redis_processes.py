"""Real redis-servers on loopback, each a process of its own that a test may kill, stop for a while and start again.

Knows ports, folders and signals; knows no cluster, no Sentinel and nothing of what is stored.
"""

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

from app.stores.redis.embedded import find_redis_server

START_S = 20.0
STOP_S = 10.0
PORTS_TRIED = 5
BUS = 10_000
"""A cluster node also listens at its port plus this."""


def wait_until(holds: Callable[[], object], what: str, *, within_s: float = 30.0) -> None:
    """Wait until it holds; an error of Redis is a no."""
    end = time.monotonic() + within_s
    while True:
        try:
            if holds():
                return
        except RedisError:
            pass
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """One whose cluster bus port is free as well."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                bus.bind(("127.0.0.1", port + BUS))
            except (OSError, OverflowError):
                continue
            return port


class RedisProcess:
    """`options` are those of redis.conf; with a `configuration` the process is a Sentinel, which writes into it."""

    def __init__(self, folder: Path, options: dict[str, str], configuration: str | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._options = options
        self._configuration = configuration
        for _ in range(PORTS_TRIED):
            self.port = free_port()
            if self.start():
                return
        raise AssertionError(f"no redis-server started; see {folder}/redis.log")

    def start(self) -> bool:
        """On the port and with the data it had before; False if it ended at once, as when somebody took the port."""
        words = [find_redis_server()]
        if self._configuration is not None:
            conf = self.folder / "sentinel.conf"
            if not conf.exists():
                conf.write_text(self._configuration)
            words += [str(conf), "--sentinel"]
        options = {"port": str(self.port), "bind": "127.0.0.1", **self._options}
        words += [word for name, value in options.items() for word in (f"--{name}", *value.split(" "))]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        with self.client() as client:
            end = time.monotonic() + START_S
            while self._process.poll() is None and time.monotonic() < end:
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

    def client(self) -> Redis:
        """For a `with` block; asks once and waits for at most a second."""
        return Redis(port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0), decode_responses=True)

    def role(self) -> str:
        """Master or slave, as it says itself."""
        with self.client() as client:
            return str(client.info("replication")["role"])

    def is_replica_of(self, primary: "RedisProcess") -> bool:
        """A replica of this primary, with all that it had to take over at first: from now on it is told each write."""
        with self.client() as client:
            about = client.info("replication")
        return bool(about.get("master_port") == primary.port and about["master_link_status"] == "up")

    def kill(self) -> None:
        """At once, as a machine that loses its power."""
        self._process.kill()
        self._process.wait(STOP_S)

    def pause(self) -> None:
        """It keeps its connections and answers nobody, until `resume`."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """May be called twice, and on one that hangs."""
        if self.is_running:
            self.kill()
