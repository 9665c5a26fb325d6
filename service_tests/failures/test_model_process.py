"""Dedicated model process as users start it: real processes, one of which is killed or stopped under load."""

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.versions import publish_versions, write_tiny_artifacts

BODY = {"history": ["i1", "i2"], "k": 3}
WORKER, MODEL = b"app.worker.process", b"app.model_server.process"
DEADLINE_S = 1.0
SLACK_S = 2.0
"""Allowance for a busy machine; a request that hangs would take far longer."""


@dataclass(frozen=True)
class Response:
    status: int
    body: dict[str, Any]
    seconds: float


def wait_until(condition: Callable[[], bool], failure: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.02)


def find_children(service: RunningService, word: bytes) -> list[int]:
    """Pids of the children of `nextup serve` with `word` in their command line."""
    files = Path(f"/proc/{service.process.pid}/task").glob("*/children")  # the supervisor's thread has children too
    pids = [int(pid) for file in files for pid in file.read_text().split()]
    return [pid for pid in pids if word in _read_command_line(pid)]


def _read_command_line(pid: int) -> bytes:
    """Return nothing for a process that ended after it was listed."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def find_model_pid(service: RunningService) -> int:
    (pid,) = find_children(service, MODEL)
    return pid


def get_readiness(service: RunningService) -> int:
    return httpx.get(f"{service.url}/readyz", timeout=60).status_code


def post(service: RunningService, path: str = "/recommend", **body: Any) -> httpx.Response:
    return httpx.post(f"{service.url}{path}", json=body or BODY, timeout=60)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("dedicated")
    publish_versions(folder / "models", *write_tiny_artifacts(folder, 1, 2))
    arguments = ["--artifact", str(folder / "models"), "--workers", "2", "--model-process", "dedicated"]
    deadline_ms = str(round(DEADLINE_S * 1000))
    with run_service(folder / "data", *arguments, NEXTUP_REQUEST_DEADLINE_MS=deadline_ms) as running:
        yield running


@contextmanager
def run_load(service: RunningService) -> Iterator[list[Response]]:
    """Responses of four callers that request without a pause until the block ends."""
    responses: list[Response] = []
    is_stopping = threading.Event()

    def send_requests() -> None:
        while not is_stopping.is_set():
            started_at = time.monotonic()
            response = post(service)  # a new connection each time, so that both workers get requests
            responses.append(Response(response.status_code, response.json(), time.monotonic() - started_at))

    callers = [threading.Thread(target=send_requests) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield responses
    finally:
        is_stopping.set()
        for caller in callers:
            caller.join()


def get_recent(responses: list[Response], field: str) -> set[Any]:
    """Values of a field in the last twelve responses, which come from both workers; empty before that."""
    return {response.body[field] for response in responses[-12:]} if len(responses) >= 12 else set()


def test_workers_load_no_torch_and_only_the_owner_may_use_the_socket(service: RunningService) -> None:
    workers = find_children(service, WORKER)
    assert len(workers) == 2
    model = find_model_pid(service)
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in (*workers, model)]
    assert ["libtorch" in text for text in maps] == [False, False, True]
    environment = Path(f"/proc/{model}/environ").read_bytes().split(b"\0")
    (path,) = [entry.split(b"=", 1)[1] for entry in environment if entry.startswith(b"NEXTUP_MODEL_SOCKET=")]
    assert stat.S_IMODE(Path(os.fsdecode(path)).stat().st_mode) == 0o600


def test_model_metrics_appear_once_and_worker_metrics_are_summed(service: RunningService) -> None:
    url = service.url
    recommendations_before = sum(read_samples(url, "nextup_recommendations_total").values())
    batched_before = sum(read_samples(url, "nextup_batch_size_sum").values())
    for _ in range(30):
        assert post(service).json()["served_by"] == "model"
    wait_until(  # other processes' metrics are exposed twice a second
        lambda: (
            sum(read_samples(url, "nextup_recommendations_total").values()) == recommendations_before + 30
            and sum(read_samples(url, "nextup_batch_size_sum").values()) == batched_before + 30
        ),
        "the sums do not match the requests",
    )
    for name in ("nextup_model_info", "nextup_store_up", "nextup_index_recall"):
        assert list(read_samples(url, name).values()) == [1.0], name
    assert read_samples(url, "nextup_model_bytes")["[('part', 'embedding')]"] == 61 * 16 * 4
    (resident,) = read_samples(url, "process_resident_memory_bytes").values()
    assert resident > 200_000_000, "a model process and two workers"


def test_activated_version_reaches_all_workers_without_a_failed_request(service: RunningService) -> None:
    models = httpx.get(f"{service.url}/models", timeout=60).json()
    first = models["active"]
    (second,) = {model["version"] for model in models["models"]} - {first}
    with run_load(service) as responses:
        for version in (second, first, second):
            activation = httpx.post(f"{service.url}/models/{version}/activate", timeout=60)
            assert (activation.status_code, activation.json()["active"]) == (200, version)
            wait_until(partial(_serves_only, responses, version), "a worker does not switch")
    assert {(response.status, response.body["served_by"]) for response in responses} == {(200, "model")}
    (info,) = read_samples(service.url, "nextup_model_info")
    assert second in info
    assert httpx.post(f"{service.url}/models/unknown/activate", timeout=60).status_code == 404


def _serves_only(responses: list[Response], version: str) -> bool:
    return get_recent(responses, "model_version") == {version}


def test_killed_model_process_is_replaced_while_the_popularity_fallback_answers_in_time(
    service: RunningService,
) -> None:
    killed = find_model_pid(service)
    with run_load(service) as responses:
        wait_until(lambda: len(responses) > 20, "no request is answered")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: get_readiness(service) == 503, "the loss is not detected")
        fallback = post(service).json()
        assert (fallback["served_by"], fallback["reason"]) == ("popularity", "model_unavailable")
        similar = post(service, "/similar", item_id="i1")
        assert (similar.status_code, similar.json()["title"]) == (503, "Model unavailable")
        assert similar.headers["retry-after"] == "1"
        item = httpx.get(f"{service.url}/items/i1", timeout=60)
        assert (item.status_code, item.json()["rank"]) == (200, 1), "the catalogue is still available"
        wait_until(
            lambda: get_readiness(service) == 200 and get_recent(responses, "served_by") == {"model"},
            "the model does not return",
        )
    assert find_model_pid(service) != killed
    assert {response.status for response in responses} == {200}
    assert {response.body["reason"] for response in responses} == {None, "model_unavailable"}
    assert max(response.seconds for response in responses) < DEADLINE_S + SLACK_S


def test_stopped_model_process_delays_requests_by_no_more_than_the_deadline(service: RunningService) -> None:
    stopped = find_model_pid(service)
    os.kill(stopped, signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        response = post(service)
        assert (response.status_code, response.json()["title"]) == (504, "Deadline exceeded")
        assert DEADLINE_S * 0.9 < time.monotonic() - started_at < DEADLINE_S + SLACK_S
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: post(service).json().get("served_by") == "model", "the model does not resume")


def test_killed_worker_leaves_no_entries_in_the_model_process(service: RunningService) -> None:
    stopped = find_model_pid(service)
    worker = find_children(service, WORKER)[0]
    os.kill(stopped, signal.SIGSTOP)
    callers = [threading.Thread(target=_post_ignoring_errors, args=(service,)) for _ in range(8)]
    try:
        for caller in callers:
            caller.start()
        time.sleep(0.2)  # lets some requests reach the worker; the rest of the test does not depend on how many
        os.kill(worker, signal.SIGKILL)
    finally:
        os.kill(stopped, signal.SIGCONT)
    for caller in callers:
        caller.join()
    wait_until(lambda: len(set(find_children(service, WORKER)) - {worker}) == 2, "the worker is not replaced")
    wait_until(lambda: read_samples(service.url, "nextup_queue_depth") == {"[]": 0.0}, "entries remain in the queue")
    assert find_model_pid(service) == stopped
    for _ in range(10):
        assert post(service).json()["served_by"] == "model"


def _post_ignoring_errors(service: RunningService) -> None:
    try:
        post(service)
    except httpx.TransportError:
        return
