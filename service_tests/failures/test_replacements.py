"""Workers that die are replaced without harm to the others, also while Redis is away or the artifact is damaged."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.model_repository.repository import ModelRepository
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.failures.test_stalled_processes import RECOVERY_S, count_restarts, get_status, recommend
from service_tests.support.constant_load import LONG_DEADLINE
from service_tests.support.kept_alive_clients import send_traffic
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.service_processes import WORKER, count_sockets, find_processes, is_running
from service_tests.support.versions import WEIGHTS_FILE, corrupt_byte, publish_versions, write_tiny_artifacts
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@contextmanager
def open_connections(service: RunningService, count: int) -> Iterator[list[socket.socket]]:
    address = httpx.URL(service.url)
    connections = [socket.create_connection((address.host, address.port or 0)) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def test_connections_spread_evenly_over_the_workers(tiny_artifact: Path, tmp_path: Path) -> None:
    with run_service(tmp_path, "--artifact", str(tiny_artifact), "--workers", "2") as service:
        workers = find_processes(service, WORKER)
        before = [count_sockets(pid) for pid in workers]
        with open_connections(service, 48):  # a connection of the readiness probe may still be counted before
            wait_until(lambda: sum(map(count_sockets, workers)) - sum(before) >= 46, 60, "all are accepted")
            added = [count_sockets(pid) - n for pid, n in zip(workers, before, strict=True)]
        assert all(abs(n - 24) <= 4 for n in added), added


def test_replacement_that_cannot_start_does_not_harm_the_other_worker(tmp_path: Path) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    weights = (artifact / WEIGHTS_FILE).read_bytes()
    # With copies, the replacement starts from that of the other worker.
    in_place = {"NEXTUP_COPY_ARTIFACTS": "0"}
    with run_service(tmp_path, "--artifact", str(artifact), "--workers", "2", **in_place) as service:
        dead, healthy = find_processes(service, WORKER)
        corrupt_byte(artifact)
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: not is_running(dead), RECOVERY_S, "the worker does not end")
        wait_until(lambda: count_restarts(service, "worker").get("start_failed", 0) >= 2, RECOVERY_S, "no second try")
        assert count_restarts(service, "worker")["killed"] == 1
        for _ in range(10):
            assert recommend(service).json()["served_by"] == "model"
        assert healthy in find_processes(service, WORKER)
        (artifact / WEIGHTS_FILE).unlink()
        (artifact / WEIGHTS_FILE).write_bytes(weights)
        wait_until(lambda: len(find_processes(service, WORKER)) == 2, RECOVERY_S, "the worker does not return")
        with open_connections(service, 1):
            assert get_status(service, "/readyz") == 200
    log = "\n".join(service.output)
    assert f"worker 1 (process {dead}) was ended by SIGKILL; starting another one" in log
    assert "ended with status 3 before it was ready; starting another one" in log


def test_clients_get_503_while_no_worker_can_start(tmp_path: Path) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    weights = (artifact / WEIGHTS_FILE).read_bytes()
    with run_service(tmp_path, "--artifact", str(artifact)) as service:
        corrupt_byte(artifact)
        (worker,) = find_processes(service, WORKER)
        os.kill(worker, signal.SIGKILL)
        for path in ("/recommend", "/livez"):
            response = httpx.post(f"{service.url}{path}", json={"history": ["i1"] * 1000}, timeout=60)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json()["type"] == "urn:nextup:problem:overloaded"
        (artifact / WEIGHTS_FILE).unlink()
        (artifact / WEIGHTS_FILE).write_bytes(weights)
        wait_until(lambda: recommend(service).status_code == 200, RECOVERY_S, "the worker does not return")


def test_service_starts_and_replaces_workers_while_redis_is_away(tiny_artifact: Path, tmp_path: Path) -> None:
    redis = EmbeddedRedis.start(tmp_path / "redis")
    redis.stop()
    options = ["--artifact", str(tiny_artifact), "--workers", "2"]
    with run_service(tmp_path, *options, NEXTUP_REDIS_URL=redis.url, wait_for="/livez") as service:
        answer = httpx.post(f"{service.url}/recommend", json={"user_id": "ada"}, timeout=60).json()
        assert (answer["served_by"], answer["reason"]) == ("popularity", "store_unavailable")
        assert recommend(service).json()["served_by"] == "model", "needs no store"
        readiness = httpx.get(f"{service.url}/readyz", timeout=60).json()
        assert (readiness["status"], readiness["title"]) == (503, "Store unavailable")
        dead, healthy = find_processes(service, WORKER)
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: len(set(find_processes(service, WORKER)) - {dead}) == 2, RECOVERY_S, "no replacement")
        assert recommend(service).status_code == 200
        assert healthy in find_processes(service, WORKER)
        redis = EmbeddedRedis.start(tmp_path / "redis")
        try:
            wait_until(lambda: get_status(service, "/readyz") == 200, RECOVERY_S, "Redis is not noticed")
            events = {"events": [{"user_id": "ada", "item_id": "i1"}]}
            assert httpx.post(f"{service.url}/events", json=events, timeout=60).status_code == 202
        finally:
            redis.stop()
    assert "the service starts without it" in "\n".join(service.output)


@pytest.mark.parametrize("placement", ["in_process", "dedicated"])
def test_start_with_a_broken_newest_version_serves_the_older_one(placement: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    repository = ModelRepository(folder)
    first, second = (stored.version for stored in repository.list_versions())
    repository.set_target_version(second)
    corrupt_byte(folder / second)
    with run_service(tmp_path, "--artifact", str(folder), "--model-process", placement) as service:
        assert recommend(service).json()["model_version"] == first
        models = httpx.get(f"{service.url}/models", timeout=60).json()
        assert (models["active"], models["target_version"]) == (first, second)
    assert f"the target version cannot serve; serving the older version {first}" in "\n".join(service.output)


def test_service_without_a_version_that_can_serve_ends_with_the_reason(tmp_path: Path) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    corrupt_byte(artifact)
    with (
        pytest.raises(RuntimeError, match=r"exited with status 3(.|\n)*" + WEIGHTS_FILE),
        run_service(tmp_path, "--artifact", str(artifact), "--workers", "2"),
    ):
        pass


def test_rolling_restart_replaces_all_workers_and_drops_no_request(tiny_artifact: Path, tmp_path: Path) -> None:
    options = ["--artifact", str(tiny_artifact), "--workers", "2"]
    with run_service(tmp_path, *options, **LONG_DEADLINE) as service:
        before = set(find_processes(service, WORKER))
        with send_traffic(service.url, 8) as traffic:
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: not before & set(find_processes(service, WORKER)), RECOVERY_S, "a worker remains")
            wait_until(lambda: len(find_processes(service, WORKER)) == 2, RECOVERY_S, "a worker is missing")
        assert count_restarts(service, "worker") == {"requested": 2}
    assert (traffic.dropped, set(traffic.statuses)) == ([], {200})


def test_scrape_does_not_depend_on_a_process_that_was_killed_while_it_created_its_metrics(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    options = {"TMPDIR": str(tmp_path)}
    with run_service(tmp_path, "--artifact", str(tiny_artifact), "--workers", "2", **options) as service:
        (folder,) = tmp_path.glob("nextup-metrics-*")
        for kind in ("counter", "histogram", "gauge_livesum"):
            (folder / f"{kind}_4194305.db").touch()  # above the largest id of a process
        recommend(service)
        assert read_samples(service.url, "nextup_recommendations_total")
