"""Connections on their way to a worker that stops, is killed or has no files left: another worker serves them, once."""

import http.client
import json
import os
import resource
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from app.supervision.child import MAX_UNCONFIRMED
from service_tests.support.hanging_model import HangingModel
from service_tests.support.nextup_process import RunningService, run_service
from service_tests.support.service_processes import WORKER, count_sockets, find_processes
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
TIMEOUT_S = 60.0
"""Much longer than on an idle machine, where a worker starts in 3 s."""
WORKERS = 2
SLACK = 2
"""Sockets of the supervisor that may be those of the readiness probe, or accepted and not handed over yet."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HangingModel:
    return HangingModel(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def running(
    model: HangingModel, tiny_artifact: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    options = ["--artifact", str(tiny_artifact), "--workers", str(WORKERS)]
    variables = {
        "NEXTUP_STALL_S": "600",
        "NEXTUP_REQUEST_DEADLINE_MS": "60000",
        "NEXTUP_REDIS_URL": redis_url,
        "NEXTUP_REDIS_TIMEOUT_MS": "20000",
    }
    with run_service(tmp_path_factory.mktemp("data"), *options, **variables, **model.environment) as service:
        yield service


@pytest.fixture
def workers(running: RunningService) -> list[int]:
    """Process ids of the workers; all serve before the first connection is accepted."""
    return find_processes(running, WORKER)


@contextmanager
def send_requests(
    service: RunningService, path: str, bodies: list[object]
) -> Iterator[list[http.client.HTTPConnection]]:
    """Send each body over a new connection, without waiting for answers."""
    address = httpx.URL(service.url)
    with ExitStack() as stack:
        connections = []
        for body in bodies:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
            stack.callback(connection.close)
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            connections.append(connection)
        yield connections


def read_statuses(connections: list[http.client.HTTPConnection]) -> list[int]:
    return [connection.getresponse().status for connection in connections]


def resume(workers: list[int]) -> None:
    """Let stopped workers run again; those that the supervisor has replaced meanwhile have ended."""
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def is_readable(connection: http.client.HTTPConnection, timeout_s: float) -> bool:
    """Whether an answer or the end of the connection arrives in time."""
    return bool(select.select([connection.sock], [], [], timeout_s)[0])


def build_events(count: int) -> tuple[list[str], list[object]]:
    """Users, and an event of each without a time or an id, so that it would be stored twice if it were sent twice."""
    users = [f"{os.urandom(6).hex()}" for _ in range(count)]
    return users, [{"events": [{"user_id": user, "item_id": "i1"}]} for user in users]


def count_events(service: RunningService, users: list[str]) -> list[int]:
    with httpx.Client(base_url=service.url, timeout=TIMEOUT_S) as http:
        return [len(http.get(f"/users/{user}/history").json()["events"]) for user in users]


def test_worker_that_does_not_read_gets_a_bounded_number_of_connections(
    running: RunningService, workers: list[int]
) -> None:
    users, events = build_events(3 * MAX_UNCONFIRMED)
    before = count_sockets(running.process.pid)

    def count_added() -> int:
        return count_sockets(running.process.pid) - before

    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        with send_requests(running, "/events", events) as connections:
            copies = WORKERS * MAX_UNCONFIRMED
            wait_until(lambda: count_added() >= copies - SLACK, TIMEOUT_S, "no copies are held")
            assert not any(is_readable(connection, 0) for connection in connections)
            assert not is_readable(connections[-1], 0.3)
            assert count_added() <= copies + SLACK
            resume(workers)
            assert set(read_statuses(connections)) == {202}
    finally:
        resume(workers)
    assert count_events(running, users) == [1] * len(users)
    wait_until(lambda: count_added() <= SLACK, TIMEOUT_S, "copies remain")


def test_worker_without_files_returns_connections_until_it_has_some(
    running: RunningService, workers: list[int]
) -> None:
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in workers}
    users, events = build_events(6)
    try:
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        with send_requests(running, "/events", events) as connections:
            assert not any(is_readable(connection, 0.1) for connection in connections), "a connection is lost"
            for pid, pair in limits.items():
                resource.prlimit(pid, resource.RLIMIT_NOFILE, pair)
            assert set(read_statuses(connections)) == {202}
    finally:
        for pid, pair in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, pair)
    assert count_events(running, users) == [1] * len(users)


def test_connections_that_a_killed_worker_has_not_read_are_served_once(
    running: RunningService, workers: list[int]
) -> None:
    users, events = build_events(12)
    os.kill(workers[0], signal.SIGSTOP)  # so that it reads no connection before it is killed
    with send_requests(running, "/events", events) as connections:
        wait_until(lambda: is_readable(connections[-1], 0) or is_readable(connections[-2], 0), TIMEOUT_S, "no answer")
        os.kill(workers[0], signal.SIGKILL)
        assert set(read_statuses(connections)) == {202}
    assert count_events(running, users) == [1] * len(users)


def test_request_that_a_killed_worker_has_read_is_not_repeated(running: RunningService, model: HangingModel) -> None:
    model.hang()
    with send_requests(running, "/recommend", [{"history": ["i1"]}]) as (connection,):
        wait_until(lambda: model.has_begun, TIMEOUT_S, "no batch hangs")
        os.kill(model.find_process(), signal.SIGKILL)
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            connection.getresponse()
