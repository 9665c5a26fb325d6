"""Versions with right digests and wrong content, slow ones, and files that change in place never harm the service."""

import dataclasses
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.model_repository.repository import ModelRepository
from models.artifact import save_artifact
from models.config import Part
from service_tests.failures.test_stalled_processes import RECOVERY_S, count_restarts, recommend
from service_tests.support.artifact_mutations import CONFIG, change_json
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model, write_tiny_artifact
from service_tests.support.broken_artifacts import ALL_CASES
from service_tests.support.constant_load import LONG_DEADLINE
from service_tests.support.kept_alive_clients import send_traffic
from service_tests.support.nextup_process import RunningService, run_nextup, run_service
from service_tests.support.service_processes import MODEL, WORKER, find_processes, is_running
from service_tests.support.versions import add_versions, publish_versions, write_tiny_artifacts
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
ACTIVATION_S = 100


def activate(service: RunningService, version: str) -> httpx.Response:
    return httpx.post(f"{service.url}/models/{version}/activate", timeout=ACTIVATION_S)


def add_broken_versions(folder: Path, tmp_path: Path) -> dict[str, str]:
    """Add a version per kind of damage that leaves the manifest readable; return their names and kinds."""
    originals = {
        preset: write_tiny_artifact(tmp_path / preset, preset=preset) for preset in ("sasrec", "blossom", "lsan")
    }
    kinds: dict[str, str] = {}
    for number, (kind, (preset, change, _)) in enumerate(ALL_CASES.items()):
        if preset not in originals or kind.startswith("manifest"):
            continue
        version = f"broken-{number}"
        shutil.copytree(originals[preset], folder / version)
        change_json(folder / version, "manifest.json", partial(dict.update, version=version))
        change(folder / version)
        kinds[version] = kind
    return kinds


def test_broken_versions_are_rejected_and_no_process_ends(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    kinds = add_broken_versions(folder, tmp_path)
    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "manifest.json").write_text('{"format": 1, "version": 3')
    with run_service(tmp_path, "--artifact", str(folder), "--workers", "2") as service:
        workers = find_processes(service, WORKER)
        for version, kind in kinds.items():
            response = activate(service, version)
            assert response.status_code == 409, (kind, response.text)
            assert "\n" not in response.json()["detail"]
        response = activate(service, "unreadable")
        assert response.status_code == 409
        assert "manifest.json is damaged" in response.json()["detail"]
        models = httpx.get(f"{service.url}/models", timeout=60).json()
        assert (models["active"], models["target_version"]) == (first, first)
        assert activate(service, second).json()["active"] == second
        wait_until(lambda: recommend(service).json()["model_version"] == second, RECOVERY_S, "the workers follow")
        assert find_processes(service, WORKER) == workers
        assert count_restarts(service, "worker") == {}


@pytest.mark.parametrize("placement", ["in_process", "dedicated"])
def test_files_truncated_in_place_under_load_kill_no_process(placement: str, tmp_path: Path) -> None:
    """A process that maps a truncated file gets SIGBUS when it reads a page behind the new end."""
    artifact = write_tiny_artifact(tmp_path / "artifact", num_items=30_000)
    options = ["--artifact", str(artifact), "--workers", "2", "--model-process", placement]
    with run_service(tmp_path, *options, **LONG_DEADLINE) as service:
        processes = find_processes(service, WORKER) + find_processes(service, MODEL)
        with send_traffic(service.url, 4) as traffic:
            for file in artifact.iterdir():
                os.truncate(file, 0)
            wait_until(lambda: len(traffic.statuses) > 0, RECOVERY_S, "answers")
            for number in range(1, 30_000, 1000):
                answer = httpx.post(
                    f"{service.url}/recommend", json={"history": [f"i{number}"], "k": 100}, timeout=60
                ).json()
                assert answer["served_by"] == "model"
                assert all(item["item_id"].startswith("i") for item in answer["items"])
                assert httpx.get(f"{service.url}/items/i{number}", timeout=60).status_code == 200
        assert (traffic.dropped, set(traffic.statuses)) == ([], {200})
        assert all(map(is_running, processes))
        assert count_restarts(service, "worker") | count_restarts(service, "model") == {}
    assert not list((tmp_path / "copies").iterdir()), "removed at the end"


def test_copies_of_a_killed_service_are_removed_by_the_next_one(tiny_artifact: Path, tmp_path: Path) -> None:
    other = write_tiny_artifact(tmp_path / "other", seed=3)
    copies = tmp_path / "copies"
    with run_service(tmp_path, "--artifact", str(tiny_artifact)) as service:
        (abandoned,) = (path for path in copies.iterdir() if path.is_dir())
        workers = find_processes(service, WORKER)
        os.kill(service.process.pid, signal.SIGSTOP)  # it would start another worker
        for pid in (*workers, service.process.pid):
            os.kill(pid, signal.SIGKILL)
        service.process.wait()
        wait_until(lambda: not any(map(is_running, workers)), RECOVERY_S, "the processes end")
    assert abandoned.is_dir()
    with run_service(tmp_path, "--artifact", str(other)):
        assert not abandoned.exists()


def write_slow_artifact(folder: Path) -> Path:
    """A valid model of which one query takes far more than ten times as long as one of a tiny model."""
    catalogue = tiny_catalogue()
    encoder = Part("self_attention", {"layers": 12, "hidden": 4096})
    model = tiny_model(dataclasses.replace(tiny_config("sasrec"), dim=128, encoder=encoder), catalogue)
    save_artifact(folder, model, catalogue, golden_histories=[np.arange(1, 41)], metrics={})
    return folder


def test_slow_version_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (first,) = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1))
    (slow,) = add_versions(folder, write_slow_artifact(tmp_path / "slow"))
    limit = {"NEXTUP_SHADOW_MAX_LATENCY_RATIO": "2"}  # the floor of 2 ms makes the ratio small on a fast machine
    with run_service(tmp_path, "--artifact", str(folder), NEXTUP_MAX_BATCH="4", **limit) as service:
        for number in range(1, 30):
            httpx.post(
                f"{service.url}/recommend", json={"history": [f"i{n}" for n in range(number, number + 30)]}, timeout=60
            )
        response = activate(service, slow)
        assert response.status_code == 409, response.text
        assert "times as long" in response.json()["detail"]
        assert "NEXTUP_SHADOW_MAX_LATENCY_RATIO (2)" in response.json()["detail"]
        assert recommend(service).json()["model_version"] == first


def test_rollback_command_serves_the_previous_version_again(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    with run_service(tmp_path, "--artifact", str(folder), "--workers", "2") as service:
        nothing = run_nextup(tmp_path, "rollback", "--url", service.url)
        assert nothing.returncode == 1
        assert "has no previous version; nothing was changed" in nothing.stderr
        activate(service, second)
        for expected in (first, second):
            finished = run_nextup(tmp_path, "rollback", "--url", service.url)
            assert finished.returncode == 0, finished.stderr
            assert f"now serves version {expected}" in finished.stderr
            assert ModelRepository(folder).get_target_version() == expected
            assert recommend(service).json()["model_version"] in (first, second), "the other worker follows"
    finished = run_nextup(tmp_path, "rollback", NEXTUP_ARTIFACT=str(folder), NEXTUP_PORT="1")
    assert finished.returncode == 0, finished.stderr
    assert ModelRepository(folder).get_target_version() == first


def test_publish_rejects_a_broken_artifact_before_the_service_sees_it(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (first,) = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1))
    broken = write_tiny_artifact(tmp_path / "broken", preset="blossom", seed=2)
    change_json(broken, CONFIG, lambda config: config.update(max_len=10**9))
    finished = run_nextup(tmp_path, "publish", str(broken), "--into", str(folder), NEXTUP_PORT="1")
    assert finished.returncode == 1
    assert "max_len must be a whole number from 1 to 16,384" in finished.stderr
    assert [stored.version for stored in ModelRepository(folder).list_versions()] == [first]
    assert not list(folder.glob(".incoming*"))
