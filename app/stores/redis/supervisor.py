"""Supervisor of the embedded Redis: started before the service, restarted when it ends or hangs, stopped after it.

Restarts back off exponentially up to a few seconds, because the cause is often outside (a full disk, no memory) and the
service should return soon after it is gone. Meanwhile recommendations are popular items, and events are answered 503.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from app.errors import StoreUnavailable
from app.runtime.idle_time import IdleTime
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.redis.servers import list_servers

log = logging.getLogger("nextup")

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.1, 3.0
STALL_S = 10.0
"""Silence after which a server counts as hanging, as NEXTUP_STALL_S."""
KILL_S = 30.0
"""Time between two log lines about a server that was killed and has not ended."""
STEADY_S = 30.0
"""Uptime after which the restart backoff resets."""
LOG_TAIL_CHARACTERS = 300
PROBE_INTERVAL_S = 1.0
MIN_FAILED_PROBES = 3
"""So that a machine that was suspended does not look like a server that hangs."""
MAX_IDLE_S, LOOK_INTERVAL_S = 1.0, 0.1
"""A server that fails two probes and is idle for longer between them hangs; others may be slow, and have `stall_s`."""


class RedisSupervisor:
    """Restarts a started server until `stop`; one that hangs is killed first.

    That is one that does not answer for `stall_s`, or fails two probes and is idle.
    """

    def __init__(self, redis: EmbeddedRedis, *, stall_s: float = STALL_S) -> None:
        self._redis = redis
        self._stall_s = stall_s
        self._stopping = threading.Event()
        self._started_at = time.monotonic()
        # On Linux a restarted server ends with this thread, which lives until `stop`.
        self._thread = threading.Thread(target=self._monitor, name="redis-supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the server and the restarts."""
        self._stopping.set()
        self._redis.stop()
        self._thread.join()

    def _monitor(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while True:
            hang_s = self._wait_until_hanging()
            if self._stopping.is_set():
                return
            if hang_s is not None:
                self._redis.kill()
            status = self._wait_for_end()
            if time.monotonic() - self._started_at > STEADY_S:
                backoff_s = MIN_BACKOFF_S
            log.error(
                "the embedded Redis %s; restarting in %g s; recommendations are popular items and events are "
                "answered 503 until it answers again",
                self._describe_end(status) if hang_s is None else f"did not answer for {hang_s:.1f} s and was killed",
                backoff_s,
            )
            _count_restart(_find_reason(status) if hang_s is None else "unresponsive")
            backoff_s = self._restart(backoff_s)
            if self._stopping.is_set():
                return

    def _wait_for_end(self) -> int:
        """Wait for the end of a server that has ended or been killed: no other one may write its files before."""
        while (status := self._redis.wait(KILL_S)) is None:
            log.error("the embedded Redis was killed and has not ended; it may wait for its disk")
        return status

    def _wait_until_hanging(self) -> float | None:
        """Return None when the server has ended, or the seconds for which one that hangs has not answered."""
        answered_at, failed_probes = time.monotonic(), 0
        while self._redis.wait(PROBE_INTERVAL_S) is None and not self._stopping.is_set():
            if self._redis.is_answering:
                answered_at, failed_probes = time.monotonic(), 0
                continue
            failed_probes += 1
            is_idle = self._is_idle() and not self._redis.is_answering
            silence_s = time.monotonic() - answered_at
            if is_idle or (silence_s > self._stall_s and failed_probes >= MIN_FAILED_PROBES):
                return silence_s
        return None

    def _is_idle(self) -> bool:
        """Watch the server until it has been idle for `MAX_IDLE_S`, or is not."""
        idle_time = IdleTime(self._redis.pid)
        idle_time.update(time.monotonic())
        while self._redis.wait(LOOK_INTERVAL_S) is None and not self._stopping.is_set():
            idle_s = idle_time.update(time.monotonic())
            if not idle_s or idle_s > MAX_IDLE_S:
                return idle_s > MAX_IDLE_S
        return False

    def _restart(self, backoff_s: float) -> float:
        """Start the server, again and again until it answers or `stop`; return the next backoff."""
        ended_at = time.monotonic()
        while not self._stopping.wait(backoff_s):
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
            self._started_at = time.monotonic()
            try:
                self._redis.run_server(list_servers())
            except (StoreUnavailable, OSError) as error:
                if self._stopping.is_set():
                    break
                log.error("the embedded Redis did not start: %s; next try in %g s", _format_line(error), backoff_s)
                _count_restart("start_failed")
            else:
                if not self._stopping.is_set():
                    log.warning("the embedded Redis answers again after %.1f s", time.monotonic() - ended_at)
                break
        return backoff_s

    def _describe_end(self, status: int) -> str:
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        lines = self._redis.read_log_tail(LOG_TAIL_CHARACTERS).splitlines()
        return f"exited with status {status} ({lines[-1].strip() if lines else 'its log is empty'})"


@contextmanager
def run_embedded_redis(
    data_dir: Path, durability: Literal["everysec", "always"], *, stall_s: float = STALL_S
) -> Iterator[str]:
    """Keep an embedded Redis running while the block runs, and yield its URL.

    A server that hangs is replaced. StoreUnavailable if the first start fails.
    """
    redis = EmbeddedRedis.start(data_dir, durability)
    try:
        supervisor = RedisSupervisor(redis, stall_s=stall_s)
    except BaseException:
        redis.stop()
        raise
    try:
        yield redis.url
    finally:
        supervisor.stop()


def _format_line(error: Exception) -> str:
    return " ".join(str(error).split())[:1000]


def _find_reason(status: int) -> str:
    return "killed" if status < 0 else "exited"


def _count_restart(reason: str) -> None:
    # Imported here: `nextup serve` imports this module before it has created the folder of shared metrics.
    from app.telemetry.restarts import count_restart

    count_restart("redis", reason)
