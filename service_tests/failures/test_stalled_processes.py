"""Processes that hang are noticed from outside their event loop and replaced; popular items are served meanwhile."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from app.supervision.child import FRESH_S
from service_tests.support.hanging_model import HangingModel
from service_tests.support.kept_alive_clients import Traffic, send_traffic
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.service_processes import MODEL, WORKER, find_processes
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
STALL_S = 3
RECOVERY_S = 60.0
"""Much longer than on an idle machine, where a worker starts in 3 s."""
BODY = {"history": ["i1", "i2"], "k": 3}


def recommend(service: RunningService) -> httpx.Response:
    return httpx.post(f"{service.url}/recommend", json=BODY, timeout=60)


def get_status(service: RunningService, path: str) -> int:
    return httpx.get(f"{service.url}{path}", timeout=60).status_code


def count_restarts(service: RunningService, process: str) -> dict[str, float]:
    """Restarts of one kind of process, by reason."""
    samples = read_samples(service.url, "nextup_restarts_total")
    prefix = f"[('process', '{process}'), ('reason', '"
    return {labels[len(prefix) : -3]: n for labels, n in samples.items() if labels.startswith(prefix) and n}


def test_worker_with_a_hanging_model_is_replaced_and_drops_no_request(tiny_artifact: Path, tmp_path: Path) -> None:
    model = HangingModel(tmp_path)
    variables = {"NEXTUP_STALL_S": str(STALL_S), "NEXTUP_DRAIN_S": "3", **model.environment}
    with run_service(tmp_path, "--artifact", str(tiny_artifact), **variables) as service:
        (worker,) = find_processes(service, WORKER)
        assert recommend(service).json()["served_by"] == "model"
        model.hang()
        with send_traffic(service.url, 2) as traffic:
            wait_until(lambda: traffic.sources["popularity"], RECOVERY_S, "popular items are served")
            wait_until(lambda: get_status(service, "/readyz") == 503, RECOVERY_S, "readiness fails")
            wait_until(lambda: get_status(service, "/livez") == 503, RECOVERY_S, "liveness fails")
            wait_until(lambda: find_processes(service, WORKER) not in ([worker], []), RECOVERY_S, "no replacement")
            wait_until(lambda: worker not in find_processes(service, WORKER), RECOVERY_S, "the hanging worker remains")
            assert (get_status(service, "/livez"), get_status(service, "/readyz")) == (200, 200)
            assert recommend(service).json()["served_by"] == "model"
            assert count_restarts(service, "worker") == {"model_stalled": 1}
    assert traffic.dropped == []
    assert set(traffic.statuses) <= {200, 504}, traffic
    log = "\n".join(service.output)
    assert "the model has not finished a batch for" in log
    assert "run_or_hang" in log, "the stacks of all threads show where it hangs"
    assert f"worker 1 (process {worker}) has a model that has not finished a batch" in log


def test_clients_of_a_worker_with_a_hanging_model_move_to_the_other_worker(tiny_artifact: Path, tmp_path: Path) -> None:
    model = HangingModel(tmp_path)
    options = ["--artifact", str(tiny_artifact), "--workers", "2"]
    variables = {"NEXTUP_STALL_S": "600", "NEXTUP_DRAIN_S": "1", **model.environment}
    with run_service(tmp_path, *options, **variables) as service:
        before = set(find_processes(service, WORKER))
        model.hang()
        with send_traffic(service.url, 4) as traffic:
            wait_until(lambda: traffic.sources["popularity"], RECOVERY_S, "popular items are served")
            wait_until(lambda: is_answered_by_model_only(traffic), RECOVERY_S, "clients stay with the hanging model")
            assert set(find_processes(service, WORKER)) == before, "the worker is not replaced for a long time"
        assert traffic.dropped == []
        assert set(traffic.statuses) <= {200, 504}, traffic


def is_answered_by_model_only(traffic: Traffic) -> bool:
    """Whether all answers of a second come from the model."""
    before = traffic.sources.copy()
    time.sleep(1)
    return set(traffic.sources - before) == {"model"}


def test_idle_model_that_hangs_is_noticed_without_traffic(tiny_artifact: Path, tmp_path: Path) -> None:
    model = HangingModel(tmp_path)
    options = ["--artifact", str(tiny_artifact), "--model-process", "dedicated"]
    with run_service(tmp_path, *options, NEXTUP_STALL_S=str(STALL_S), **model.environment) as service:
        (process,) = find_processes(service, MODEL)
        model.hang()
        wait_until(lambda: find_processes(service, MODEL) not in ([process], []), RECOVERY_S, "no replacement")
        wait_until(lambda: recommend(service).json().get("served_by") == "model", RECOVERY_S, "no model serves")
        assert count_restarts(service, "model") == {"model_stalled": 1}


def test_process_that_holds_the_gil_is_killed_while_the_other_worker_serves(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    model = HangingModel(tmp_path)
    options = ["--artifact", str(tiny_artifact), "--workers", "2"]
    with run_service(tmp_path, *options, NEXTUP_STALL_S=str(STALL_S), **model.environment) as service:
        before = set(find_processes(service, WORKER))
        model.hang(holding_gil=True)
        wait_until(lambda: model.has_begun, RECOVERY_S, "no batch hangs")
        time.sleep(FRESH_S + 0.5)  # from now on the other worker gets all connections, or the process is replaced
        for _ in range(10):
            assert recommend(service).json()["served_by"] == "model"
        wait_until(lambda: count_restarts(service, "worker"), RECOVERY_S, "the process is not replaced")
        assert count_restarts(service, "worker") == {"unresponsive": 1}
        wait_until(lambda: len(set(find_processes(service, WORKER)) - before) == 1, RECOVERY_S, "no replacement")


def test_stopped_model_process_is_replaced_while_popular_items_are_served(tiny_artifact: Path, tmp_path: Path) -> None:
    """It is idle, so it is replaced long before `NEXTUP_STALL_S`."""
    options = ["--artifact", str(tiny_artifact), "--workers", "2", "--model-process", "dedicated"]
    with run_service(tmp_path, *options, NEXTUP_STALL_S="600") as service:
        (process,) = find_processes(service, MODEL)
        os.kill(process, signal.SIGSTOP)
        with send_traffic(service.url, 2) as traffic:
            wait_until(lambda: traffic.sources["popularity"], RECOVERY_S, "popular items are served")
            wait_until(lambda: find_processes(service, MODEL) not in ([process], []), RECOVERY_S, "no replacement")
            wait_until(lambda: recommend(service).json().get("served_by") == "model", RECOVERY_S, "no model serves")
        assert traffic.dropped == []
        assert set(traffic.statuses) <= {200, 504}, traffic
        assert count_restarts(service, "model") == {"unresponsive": 1}
        assert get_status(service, "/livez") == 200
