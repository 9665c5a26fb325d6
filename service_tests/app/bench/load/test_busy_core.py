"""While a benchmark keeps the cores busy, each has a process with idle priority, and none remains afterwards."""

import os
from pathlib import Path

import pytest

from app.bench.load.busy_core import AUTOGROUP, keep_cores_busy
from app.bench.resources import list_process_tree
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.process


def list_idle_children() -> list[int]:
    return [pid for pid in list_process_tree(os.getpid())[1:] if os.sched_getscheduler(pid) == os.SCHED_IDLE]


def has_least_share(pid: int) -> bool:
    return Path(f"/proc/{pid}/autogroup").read_text().endswith(" nice 19\n")


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux only")
def test_each_core_is_kept_busy_with_idle_priority() -> None:
    with keep_cores_busy() as is_busy:
        assert is_busy
        wait_until(lambda: len(list_idle_children()) == len(os.sched_getaffinity(0)), 60, "processes are missing")
        children = list_idle_children()
    assert not [pid for pid in children if pid in list_process_tree(os.getpid())]


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="the kernel does not group tasks by session")
def test_busy_processes_do_not_share_the_time_of_the_benchmark_s_session() -> None:
    with keep_cores_busy():
        wait_until(lambda: len(list_idle_children()) == len(os.sched_getaffinity(0)), 60, "processes are missing")
        wait_until(lambda: all(map(has_least_share, list_idle_children())), 60, "a group has the share of a session")


def test_systems_without_idle_priority_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_IDLE", raising=False)
    children = list_process_tree(os.getpid())
    with keep_cores_busy() as is_busy:
        assert not is_busy
        assert set(list_process_tree(os.getpid())) <= set(children)
