"""Idle time of real processes: one that sleeps, one that is stopped, one that computes, and one that has ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from app.runtime.idle_time import MAX_GAP_S, IdleTime
from service_tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the state of threads"),
]
THREADS = "import threading, time; threading.Thread(target=lambda: {}).start(); print('up', flush=True); time.sleep(60)"
SLEEPS, COMPUTES = "time.sleep(60)", "all(iter(lambda: True, False))"


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose second thread runs the expression of the parameter."""
    with subprocess.Popen([sys.executable, "-c", THREADS.format(request.param)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process
        process.kill()


def is_idle_for(idle_time: IdleTime, seconds: float) -> bool:
    return idle_time.update(time.monotonic()) > seconds


@pytest.mark.parametrize("process", [SLEEPS], indirect=True)
def test_process_that_sleeps_becomes_idle(process: subprocess.Popen[bytes]) -> None:
    idle_time = IdleTime(process.pid)
    assert not is_idle_for(idle_time, 0), "nothing is known at the first look"
    wait_until(lambda: is_idle_for(idle_time, 0.1), 30, "it is not idle")


@pytest.mark.parametrize("process", [COMPUTES], indirect=True)
def test_process_that_computes_is_idle_only_while_it_is_stopped(process: subprocess.Popen[bytes]) -> None:
    idle_time = IdleTime(process.pid)
    for _ in range(10):
        assert not is_idle_for(idle_time, 0)
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: is_idle_for(idle_time, 0.1), 30, "it is stopped and not idle")
    os.kill(process.pid, signal.SIGCONT)
    wait_until(lambda: not is_idle_for(idle_time, 0), 30, "it runs and is idle")


@pytest.mark.parametrize("process", [SLEEPS], indirect=True)
def test_long_time_between_two_looks_counts_in_part(process: subprocess.Popen[bytes]) -> None:
    idle_time = IdleTime(process.pid)
    wait_until(lambda: is_idle_for(idle_time, 0), 30, "it is not idle")
    before = idle_time.update(time.monotonic())
    assert before <= idle_time.update(time.monotonic() + 3600) <= before + MAX_GAP_S


def test_process_that_has_ended_is_not_idle() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    idle_time = IdleTime(process.pid)
    assert not is_idle_for(idle_time, 0)
    assert not is_idle_for(idle_time, 0)
