"""The model in a process of its own, as users start it: real processes, one of which is killed under load."""

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.versions import publish_versions, write_tiny_artifacts

ASK = {"history": ["i1", "i2"], "k": 3}
DEADLINE_S = 1.0
SLACK_S = 2.0
"""For a machine that is busy: of a request that hangs it would be a matter of ever."""


def wait_until(true: Callable[[], bool], what: str, longest_s: float = 40) -> None:
    end = time.monotonic() + longest_s
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def children(served: RunningService, word: bytes) -> list[int]:
    below = Path(f"/proc/{served.process.pid}/task").glob("*/children")  # the keeper's thread has children too
    pids = [int(pid) for file in below for pid in file.read_text().split()]
    return [pid for pid in pids if word in Path(f"/proc/{pid}/cmdline").read_bytes()]


def model_pid(served: RunningService) -> int:
    (pid,) = children(served, b"app.model_server.process")
    return pid


def ready(served: RunningService) -> int:
    return httpx.get(f"{served.url}/readyz").status_code


def ask(served: RunningService, path: str = "/recommend", **body: Any) -> httpx.Response:
    return httpx.post(f"{served.url}{path}", json=body or ASK, timeout=30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("own")
    publish_versions(folder / "models", *write_tiny_artifacts(folder, 1, 2))
    where = ["--artifact", str(folder / "models"), "--workers", "2", "--model-process", "dedicated"]
    limit = str(round(DEADLINE_S * 1000))
    with run_service(folder / "data", *where, NEXTUP_REQUEST_DEADLINE_MS=limit) as running:
        yield running


@contextmanager
def load(served: RunningService) -> Iterator[list[tuple[int, dict[str, Any], float]]]:
    """Four callers that never pause; status, answer and seconds of every request."""
    told: list[tuple[int, dict[str, Any], float]] = []
    ended = threading.Event()

    def calling() -> None:
        while not ended.is_set():
            began = time.monotonic()
            answer = ask(served)  # a connection each, so that both workers get some
            told.append((answer.status_code, answer.json(), time.monotonic() - began))

    callers = [threading.Thread(target=calling) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield told
    finally:
        ended.set()
        for caller in callers:
            caller.join()


def test_workers_have_no_torch_in_them_and_the_socket_is_its_owners_alone(served: RunningService) -> None:
    workers = children(served, b"spawn_main")
    assert len(workers) == 2
    loaded = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (*workers, model_pid(served))}
    assert ["libtorch" in maps for maps in loaded.values()] == [False, False, True]
    environment = Path(f"/proc/{model_pid(served)}/environ").read_bytes().split(b"\0")
    (path,) = [word.split(b"=", 1)[1] for word in environment if word.startswith(b"NEXTUP_MODEL_SOCKET=")]
    assert stat.S_IMODE(Path(os.fsdecode(path)).stat().st_mode) == 0o600


def test_metrics_of_the_model_stand_there_once_and_those_of_the_workers_are_summed(served: RunningService) -> None:
    url = served.url
    before = sum(read_samples(url, "nextup_recommendations_total").values())
    batched = sum(read_samples(url, "nextup_batch_size_sum").values())
    for _ in range(30):
        assert ask(served).json()["served_by"] == "model"
    wait_until(  # numbers of other processes are seen twice a second
        lambda: (
            sum(read_samples(url, "nextup_recommendations_total").values()) == before + 30
            and sum(read_samples(url, "nextup_batch_size_sum").values()) == batched + 30
        ),
        "the sums are not those of the requests",
    )
    for name in ("nextup_model_info", "nextup_store_up", "nextup_index_recall"):
        assert list(read_samples(url, name).values()) == [1.0], name
    assert read_samples(url, "nextup_model_bytes")["[('part', 'embedding')]"] == 61 * 16 * 4
    (resident,) = read_samples(url, "process_resident_memory_bytes").values()
    assert resident > 200_000_000, "a model's process and two workers"


def test_another_version_comes_to_all_workers_and_no_request_fails(served: RunningService) -> None:
    told = httpx.get(f"{served.url}/models").json()
    first = told["active"]
    (second,) = {model["version"] for model in told["models"]} - {first}
    with load(served) as answers:
        for version in (second, first, second):
            changed = httpx.post(f"{served.url}/models/{version}/activate", timeout=30)
            assert (changed.status_code, changed.json()["active"]) == (200, version)
            wait_until(partial(_all_of, answers, version), "a worker stays behind")
    assert {(status, answer["served_by"]) for status, answer, _ in answers} == {(200, "model")}
    (info,) = read_samples(served.url, "nextup_model_info")
    assert second in info
    assert httpx.post(f"{served.url}/models/nobody/activate").status_code == 404


def _all_of(answers: list[tuple[int, dict[str, Any], float]], version: str) -> bool:
    """Of the last answers, which both workers gave."""
    return len(answers) >= 12 and {answer["model_version"] for _, answer, _ in answers[-12:]} == {version}


def test_a_killed_model_is_replaced_and_until_then_popularity_answers_in_time(served: RunningService) -> None:
    killed = model_pid(served)
    with load(served) as answers:
        wait_until(lambda: len(answers) > 20, "nothing is answered")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: ready(served) == 503, "nobody noticed")
        lost = ask(served)
        assert (lost.json()["served_by"], lost.json()["reason"]) == ("popularity", "model_unavailable")
        similar = ask(served, "/similar", item_id="i1")
        assert (similar.status_code, similar.json()["title"]) == (503, "Model unavailable")
        assert similar.headers["retry-after"] == "1"
        item = httpx.get(f"{served.url}/items/i1")
        assert (item.status_code, item.json()["rank"]) == (200, 1), "the catalogue is still there"
        wait_until(lambda: ready(served) == 200 and _by(answers) == {"model"}, "the model does not come back")
    assert model_pid(served) != killed
    assert {status for status, _, _ in answers} == {200}
    assert {answer["reason"] for _, answer, _ in answers} == {None, "model_unavailable"}
    assert max(seconds for _, _, seconds in answers) < DEADLINE_S + SLACK_S


def _by(answers: list[tuple[int, dict[str, Any], float]]) -> set[str]:
    return {answer["served_by"] for _, answer, _ in answers[-12:]}


def test_a_model_that_stands_still_costs_nobody_more_than_the_deadline(served: RunningService) -> None:
    stopped = model_pid(served)
    os.kill(stopped, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = ask(served)
        assert (answer.status_code, answer.json()["title"]) == (504, "Deadline exceeded")
        assert DEADLINE_S * 0.9 < time.monotonic() - began < DEADLINE_S + SLACK_S
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: ask(served).json().get("served_by") == "model", "it goes on")


def test_a_killed_worker_leaves_nothing_behind_in_the_model(served: RunningService) -> None:
    stopped = model_pid(served)
    worker = children(served, b"spawn_main")[0]
    os.kill(stopped, signal.SIGSTOP)
    callers = [threading.Thread(target=_ignored, args=(served,)) for _ in range(8)]
    try:
        for caller in callers:
            caller.start()
        time.sleep(0.2)  # for whatever part of them has come so far; the rest of this test does not depend on it
        os.kill(worker, signal.SIGKILL)
    finally:
        os.kill(stopped, signal.SIGCONT)
    for caller in callers:
        caller.join()
    wait_until(lambda: len(set(children(served, b"spawn_main")) - {worker}) == 2, "the worker is not replaced")
    wait_until(lambda: read_samples(served.url, "nextup_queue_depth") == {"[]": 0.0}, "entries are left")
    assert model_pid(served) == stopped
    for _ in range(10):
        assert ask(served).json()["served_by"] == "model"


def _ignored(served: RunningService) -> None:
    try:
        ask(served)
    except httpx.TransportError:
        return
