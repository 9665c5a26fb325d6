"""A slot starts its process again, with growing pauses, and never gives up."""

import time
from itertools import pairwise

import pytest

from app.supervision.child import Child
from app.supervision.slot import MIN_BACKOFF_S, Slot

pytestmark = pytest.mark.process
ENDING_MODULE = "this"
"""A module of Python that prints a few lines and ends."""


def test_process_that_cannot_start_is_tried_again_with_exponential_backoff(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    slot = Slot("worker 1", "worker", ENDING_MODULE, stall_s=10, drain_s=1)
    slot.is_service_up = True
    started_at: dict[int, float] = {}
    deadline = time.monotonic() + 60
    while len(started_at) < 4 and time.monotonic() < deadline:
        slot.step()
        for child in slot.children:
            started_at.setdefault(child.process.pid, child.started_at)
        time.sleep(0.01)
    pauses = [second - first for first, second in pairwise(started_at.values())]
    assert len(pauses) == 3
    assert all(pause >= MIN_BACKOFF_S * 2**n for n, pause in enumerate(pauses)), pauses
    assert slot.first_ending is not None
    assert slot.first_ending.reason == "start_failed"
    assert not slot.has_served
    assert "starting another one in 0.2 s" in caplog.text
    assert "starting another one in 0.8 s" in caplog.text
    slot.drain(time.monotonic())
    assert slot.is_empty()
    slot.close()
    assert "Namespaces" in capfd.readouterr().out


def test_process_that_is_late_is_killed() -> None:
    child = Child("worker 1", "http.server")  # reads no channel; its argument is a port that it cannot have
    child.drain(time.monotonic())
    deadline = time.monotonic() + 60
    while not child.enforce() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.process.poll() is not None
    child.close()
