"""Supervisor of a service: accepts connections, keeps workers and the model process running, and drains them.

One loop in the main thread, which never waits for a process. Workers that start or fail do not affect the others.
"""

import logging
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.settings import Settings
from app.supervision.child import START_FAILED_STATUS, Child
from app.supervision.listener import Listener
from app.supervision.slot import Slot

log = logging.getLogger("nextup")

TICK_S = 0.1
PAUSE_S = 1.0
"""A longer step means that this process did not run, so that it could not see heartbeats."""
WORKER_MARGIN_S, MODEL_MARGIN_S = 1.5, 2.0
"""After the drain, workers are killed first: the model answers their last queries."""
WORKER_MODULE, MODEL_MODULE = "app.worker.process", "app.model_server.process"


class Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = Listener(listener)
        self._model = self._make_slot("model", "model", MODEL_MODULE) if settings.model_process == "dedicated" else None
        self._workers: list[Slot] = []
        self._signals: list[int] = []
        self._must_replace_workers = False
        self._has_terminal = sys.stdin is not None and sys.stdin.isatty()
        """Then SIGHUP means that the terminal was closed, which ends the service."""
        self._to_replace: list[Slot] = []
        self._stepped_at = time.monotonic()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, and return the exit status; nonzero if no worker could start."""
        with self._catch_signals() as wake_up:
            try:
                while not self._signals:
                    if self._has_failed():
                        return START_FAILED_STATUS
                    self._step(wake_up, may_start=True)
                    self._handle_hangup()
                self._drain(wake_up)
                return 0
            finally:
                for slot in self._list_slots():
                    slot.close()

    def _step(self, wake_up: socket.socket, *, may_start: bool) -> None:
        """Wait for something to happen, at most a tick, and handle it."""
        children = [child for slot in self._workers for child in slot.children]
        with selectors.PollSelector() as selector:  # made per step: epoll would cost a system call per process
            selector.register(wake_up, selectors.EVENT_READ)
            if self._listener.is_open and any(child.takes_connections and child.has_room for child in children):
                selector.register(self._listener.socket, selectors.EVENT_READ)
            for child in self._list_children():
                if not child.has_closed_channel:
                    selector.register(child.channel, selectors.EVENT_READ)
            selector.select(TICK_S)
        _discard(wake_up)
        self._forgive_pause()
        for child in self._list_children():
            child.read_messages()
            self._listener.take_back(child.release_unread())
        if self._listener.is_open:
            self._listener.accept([slot.child for slot in self._workers if slot.child is not None])
        if may_start:
            self._start_workers()
            for slot in self._list_slots():
                slot.is_service_up = self._is_up
                slot.step()
            if self._is_up and all(slot.has_served or slot.first_ending for slot in self._workers):
                self._listener.open()  # not earlier: the first worker would get all connections

    def _start_workers(self) -> None:
        """Start the workers once the model answers, without which they would serve only popular items."""
        if not self._workers and (self._model is None or self._model.has_served):
            count = self._settings.worker_count
            self._workers = [
                self._make_slot(f"worker {number}", "worker", WORKER_MODULE) for number in range(1, count + 1)
            ]

    def _has_failed(self) -> bool:
        """Whether the first start of the model or of all workers has failed, so that nothing is worth keeping."""
        if self._is_up or (self._model is not None and self._model.first_ending is not None):
            return not self._is_up
        return bool(self._workers) and all(slot.first_ending is not None for slot in self._workers)

    def _handle_hangup(self) -> None:
        """On SIGHUP, replace all workers one after another."""
        if self._must_replace_workers:
            self._must_replace_workers = False
            self._to_replace = list(self._workers)
        if self._to_replace and not any(slot.is_replacing for slot in self._workers):
            self._to_replace.pop(0).replace()

    def _drain(self, wake_up: socket.socket) -> None:
        """Readiness first, then the listener, then the workers, then the model; nothing may exceed the drain."""
        started_at = time.monotonic()
        drain_s = self._settings.drain_s
        is_interactive = self._signals[0] == signal.SIGINT
        for child in self._list_children():
            child.give_notice()
        notice_s = 0.0 if is_interactive else min(self._settings.drain_notice_s, drain_s)
        self._run_until(started_at + notice_s, wake_up)
        self._listener.close([slot.child for slot in self._workers if slot.child is not None])
        self._end_slots(self._workers, started_at + drain_s + WORKER_MARGIN_S, wake_up)
        if self._model is not None:
            self._end_slots([self._model], started_at + drain_s + MODEL_MARGIN_S, wake_up)

    def _run_until(self, deadline: float, wake_up: socket.socket) -> None:
        """Continue to serve new connections while a worker serves; a second signal ends that."""
        while time.monotonic() < deadline and len(self._signals) < 2 and self._is_serving():
            self._step(wake_up, may_start=False)

    def _end_slots(self, slots: list[Slot], kill_at: float, wake_up: socket.socket) -> None:
        for slot in slots:
            slot.drain(kill_at)
        while len(self._signals) < 2 and sum(slot.is_empty() for slot in slots) < len(slots):
            self._step(wake_up, may_start=False)

    @property
    def _is_up(self) -> bool:
        """Whether any worker has served since the start."""
        return any(slot.has_served for slot in self._workers)

    def _is_serving(self) -> bool:
        return any(child.takes_connections for child in self._list_children())

    def _forgive_pause(self) -> None:
        now = time.monotonic()
        if now - self._stepped_at > PAUSE_S:
            for slot in self._list_slots():
                slot.delay_checks(now - self._stepped_at)
        self._stepped_at = now

    def _list_slots(self) -> list[Slot]:
        return self._workers if self._model is None else [self._model, *self._workers]

    def _list_children(self) -> list[Child]:
        return [child for slot in self._list_slots() for child in slot.children]

    def _make_slot(self, name: str, kind: str, module: str) -> Slot:
        drain_s = self._settings.drain_s + WORKER_MARGIN_S
        return Slot(name, kind, module, stall_s=self._settings.stall_s, drain_s=drain_s)

    @contextmanager
    def _catch_signals(self) -> Iterator[socket.socket]:
        """Collect signals until the block ends; the socket becomes readable with each of them."""
        wake_up, writer = socket.socketpair()
        with wake_up, writer:
            wake_up.setblocking(False)
            writer.setblocking(False)
            previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
            previous = {number: signal.signal(number, self._on_signal) for number in handled}
            try:
                yield wake_up
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(previous_fd)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP and not self._has_terminal:
            self._must_replace_workers = True
        elif number != signal.SIGCHLD:
            self._signals.append(number)


def _discard(wake_up: socket.socket) -> None:
    try:
        while wake_up.recv(4096):
            pass
    except BlockingIOError:
        return
