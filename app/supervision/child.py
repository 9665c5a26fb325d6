"""One supervised process: started with a channel, watched through its heartbeats, ended in time."""

import logging
import signal
import socket
import subprocess
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from app.runtime import channel as channels
from app.runtime.idle_time import IdleTime
from app.runtime.subprocesses import build_child_environment, build_python_command

log = logging.getLogger("nextup")

START_FAILED_STATUS = 3
"""Status of a process that could not start and has logged why, as uvicorn's workers."""
START_S = 900.0
"""Longest start; a large artifact on a busy machine loads slowly."""
KILL_S = 1.0
SILENT_S = 1.0
"""After a longer silence, the supervisor looks whether the process is idle."""
MAX_IDLE_S = 1.0
"""A silent process that has been idle for longer hangs; others may be slow, and have `stall_s`."""
FRESH_S = 3.0
"""A heartbeat that is older lets other workers take the next connections."""
MAX_UNCONFIRMED = 32
"""Most connections that a process has been sent and has not confirmed: four steps of its event loop."""
RETURN_PAUSE_S = 0.1
"""How long a process gets no connection after it had no file descriptor left for one."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a process ended or must be replaced: a label of `nextup_restarts_total`, and the words for the log."""

    reason: str
    text: str
    is_explained: bool = False
    """Whether the process has logged the cause itself."""


class Child:
    """A running process. Start it from a thread that lives as long as it: on Linux it ends with that thread."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self.is_serving = self.is_draining = False
        self.has_closed_channel = False
        self.kill_at: float | None = None
        self._status = channels.ALIVE
        self._idle_time: IdleTime | None = None
        self._unconfirmed: deque[socket.socket] = deque()
        self._returned: list[socket.socket] = []
        self._resume_at = 0.0
        self.channel, inherited = socket.socketpair()
        self.channel.setblocking(False)
        self.started_at = self.beat_at = time.monotonic()
        with inherited:
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter with our own module
                build_python_command(["-m", module, str(inherited.fileno())]),
                stdin=subprocess.DEVNULL,
                env=build_child_environment(),
                pass_fds=(inherited.fileno(),),
                # Ctrl-C reaches the whole foreground group; processes must outlive the last requests.
                start_new_session=True,
            )

    def __str__(self) -> str:
        return f"{self.name} (process {self.process.pid})"

    @property
    def takes_connections(self) -> bool:
        """Whether it answers requests, if only with popular items because its model hangs."""
        is_late = self._status in (channels.LOOP_LATE, channels.LOOP_STALLED)
        has_ended = self.has_closed_channel or self.process.returncode is not None
        return self.is_serving and not self.is_draining and not is_late and not has_ended

    @property
    def has_room(self) -> bool:
        """Whether it may be sent one more connection now."""
        return len(self._unconfirmed) < MAX_UNCONFIRMED and time.monotonic() >= self._resume_at

    @property
    def is_healthy(self) -> bool:
        """Whether it makes progress, so that it should take the next connections rather than others."""
        return self._status == channels.ALIVE and time.monotonic() - self.beat_at < FRESH_S

    def send_connection(self, connection: socket.socket) -> bool:
        """Hand a connection over, and keep a copy until the process confirms it; False if the process takes none."""
        if not channels.send(self.channel, channels.CONNECTION, connection):
            return False
        self._unconfirmed.append(connection)
        return True

    def release_unread(self) -> list[socket.socket]:
        """Return the connections that another process may serve: this one has not read from them and never will."""
        unread, self._returned = self._returned, []
        if self.has_closed_channel and self.process.poll() is not None:  # all of its threads have ended
            unread += self._unconfirmed
            self._unconfirmed.clear()
        return unread

    def read_messages(self) -> None:
        """Read what the process reports since the last call."""
        for _ in range(0 if self.has_closed_channel else channels.MAX_MESSAGES):
            try:
                reports = channels.receive_reports(self.channel)
            except BlockingIOError:
                return
            if not reports:
                self.has_closed_channel = True
                return
            for code in reports:
                self._handle(bytes((code,)))

    def _handle(self, message: bytes) -> None:
        self.beat_at = time.monotonic()
        if message == channels.CONFIRMED:
            self._unconfirmed.popleft().close()
        elif message == channels.RETURNED:
            self._returned.append(self._unconfirmed.popleft())
            self._resume_at = self.beat_at + RETURN_PAUSE_S
        elif message == channels.SERVING:
            self.is_serving = True
        elif message == channels.DRAINING:
            self.is_draining = True
            channels.send(self.channel, channels.DRAIN)
        else:
            self._status = message

    def find_ending(self, stall_s: float) -> Ending | None:
        """Return why the process has ended or must be replaced; None while it works."""
        now = time.monotonic()
        if (status := self.process.poll()) is not None:
            return self._describe_exit(status)
        if self.is_draining:
            return None
        if not self.is_serving:
            late = now - self.started_at > START_S
            return Ending("start_failed", f"was not ready within {START_S:.0f} s") if late else None
        if self._status == channels.LOOP_STALLED:
            return Ending("loop_stalled", f"has an event loop that has not run for {stall_s:g} s")
        if self._status == channels.MODEL_STALLED:
            return Ending("model_stalled", f"has a model that has not finished a batch for {stall_s:g} s")
        if now - self.beat_at > stall_s:
            return Ending("unresponsive", f"has sent no heartbeat for {stall_s:g} s")
        if self._has_hung_idle(now):
            return Ending("unresponsive", f"has sent no heartbeat for {now - self.beat_at:.1f} s and does not run")
        return None

    def _has_hung_idle(self, now: float) -> bool:
        """Whether the process is silent although nothing keeps it from running."""
        if now - self.beat_at <= SILENT_S:
            self._idle_time = None
            return False
        if self._idle_time is None:
            self._idle_time = IdleTime(self.process.pid)
        return self._idle_time.update(now) > MAX_IDLE_S

    def give_notice(self) -> None:
        """Let the process report that it will stop soon; it continues to serve."""
        channels.send(self.channel, channels.NOTICE)

    def drain(self, kill_at: float) -> None:
        """Let the process finish what is running; `kill` it if it still runs at `kill_at`, which `enforce` checks."""
        channels.send(self.channel, channels.DRAIN)
        self.is_draining = True
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)

    def enforce(self) -> bool:
        """Kill the process if its time is over; True once it has ended."""
        if self.process.poll() is None and self.kill_at is not None and time.monotonic() > self.kill_at:
            log.error("%s did not stop in time and is killed", self)
            self.kill()
        return self.process.poll() is not None

    def kill(self) -> None:
        """End the process immediately, even if it is stopped."""
        self.is_draining = True
        if self.process.poll() is None:
            self.process.kill()
            with suppress(subprocess.TimeoutExpired):  # a process that waits for a device ends later
                self.process.wait(KILL_S)

    def close(self) -> None:
        """Close the channel, and the copies of connections that no other process has been given."""
        self.channel.close()
        for connection in (*self._unconfirmed, *self._returned):
            connection.close()

    def _describe_exit(self, status: int) -> Ending:
        text = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        if not self.is_serving:
            return Ending("start_failed", f"{text} before it was ready", is_explained=status == START_FAILED_STATUS)
        return Ending("exited" if status >= 0 else "killed", text)
