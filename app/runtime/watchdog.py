"""Watchdog of a supervised process: a thread outside the event loop that reports progress and bounds the shutdown.

It sends a heartbeat to the supervisor as long as the event loop runs and the model finishes its batches, and says which
of them does not. The supervisor replaces the process then, and also one that has become silent, because a native call
may hold the GIL.
"""

import asyncio
import faulthandler
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from app.runtime import channel as channels

log = logging.getLogger("nextup")

TICK_S = 0.5
LATE_S = 2.5
PAUSE_S = 2.0
"""A longer gap between two ticks of this thread means that the whole process was suspended."""
END_FAILED_STATUS = 1


class Watchdog:
    """Started before the event loop; `watch` once the process serves, `end_within` when it begins to stop."""

    def __init__(self, channel: socket.socket, *, stall_s: float) -> None:
        self._channel = channel
        self._stall_s = stall_s
        self._beat_at: float | None = None
        self._get_model_stall_s: Callable[[], float] = lambda: 0.0
        self._end_at: float | None = None
        self._has_dumped = False
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def watch(self, get_model_stall_s: Callable[[], float] | None = None) -> None:
        """Watch the running event loop, and the model by the seconds since it should have finished a batch."""
        if get_model_stall_s is not None:
            self._get_model_stall_s = get_model_stall_s
        self._beat(asyncio.get_running_loop())
        channels.send(self._channel, channels.SERVING)

    def end_within(self, seconds: float) -> None:
        """End the process, whatever hangs, unless it has ended by itself within so many seconds."""
        end_at = time.monotonic() + seconds
        self._end_at = end_at if self._end_at is None else min(self._end_at, end_at)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat_at = time.monotonic()
        loop.call_later(TICK_S, self._beat, loop)

    def _run(self) -> None:
        ticked_at = time.monotonic()
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            if now - ticked_at > PAUSE_S and self._beat_at is not None:
                self._beat_at += now - ticked_at  # the event loop could not run either
            ticked_at = now
            if self._end_at is not None and now > self._end_at:
                self._end()
            channels.send(self._channel, self._find_status(now))

    def _find_status(self, now: float) -> bytes:
        if self._beat_at is None or self._end_at is not None:
            return channels.ALIVE
        if LATE_S < now - self._beat_at <= self._stall_s:
            return channels.LOOP_LATE
        if now - self._beat_at > self._stall_s:
            self._dump(f"the event loop has not run for {now - self._beat_at:.1f} s")
            return channels.LOOP_STALLED
        if (seconds := self._get_model_stall_s()) > self._stall_s:
            self._dump(f"the model has not finished a batch for {seconds:.1f} s")
            return channels.MODEL_STALLED
        if seconds > LATE_S:
            return channels.MODEL_LATE
        return channels.ALIVE

    def _dump(self, problem: str) -> None:
        """Log the problem and the stacks of all threads, once."""
        if self._has_dumped:
            return
        self._has_dumped = True
        log.error(
            "process %d: %s (NEXTUP_STALL_S is %g); the stacks of its threads follow",
            os.getpid(),
            problem,
            self._stall_s,
        )
        faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)

    def _end(self) -> None:
        log.error("process %d did not stop in time and is ended; requests that it was answering are lost", os.getpid())
        os._exit(END_FAILED_STATUS)


def exit_without_waiting(status: int) -> NoReturn:
    """Exit now: threads that hang in a model or a file system would delay the interpreter's own exit for ever."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # no such stream, or its reader is gone
            stream.flush()
    os._exit(status)
