"""Keeps `make test-fast` free of processes: the mark `process` is set by fixture, and checked while a test runs.

Tests in `PROCESS_FOLDERS` and tests that use one of `PROCESS_FIXTURES` are marked here; any other test that starts a
process must carry the mark itself, or it fails with a message that says so.
"""

import sys
from typing import Any

import pytest

PROCESS_FIXTURES = frozenset({"redis_url", "cluster", "sentinel", "healthy_cluster", "healthy_sentinel", "prometheus"})
"""Fixtures that start servers; everything built on them is in the same request."""
PROCESS_FOLDERS = ("service_tests/end_to_end/", "service_tests/failures/")
LONGEST_FIRST = (
    "service_tests/end_to_end/",
    "service_tests/models/benchmarks/",
    "service_tests/failures/",
    "service_tests/app/bench/",
    "service_tests/app/capacity/",
    "service_tests/models/training/",
)
PROCESS_EVENTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.system"})

_forbidden_in: list[str] = []
"""Node id of the running test while it may not start a process; empty otherwise."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_get_start_order)
    for item in items:
        starts_servers = PROCESS_FIXTURES & set(getattr(item, "fixturenames", ()))
        if starts_servers or item.nodeid.startswith(PROCESS_FOLDERS):
            item.add_marker(pytest.mark.process)


def _get_start_order(item: pytest.Item) -> int:
    """Files of few long tests start first, so that no core idles at the end of a parallel run."""
    return next((order for order, prefix in enumerate(LONGEST_FIRST) if item.nodeid.startswith(prefix)), 99)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    if item.get_closest_marker("process") is None:
        _forbidden_in.append(item.nodeid)
    try:
        return (yield)
    finally:
        _forbidden_in.clear()


def _check_process_start(event: str, arguments: tuple[Any, ...]) -> None:
    if _forbidden_in and event in PROCESS_EVENTS:
        raise RuntimeError(f"{_forbidden_in[0]} starts a process ({arguments[:1]}); mark it with @pytest.mark.process")


sys.addaudithook(_check_process_start)
