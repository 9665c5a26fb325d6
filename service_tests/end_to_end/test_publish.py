"""The training loop closed: stored events become the next model, swapped in under constant load."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from app.model_repository.repository import ModelRepository
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.constant_load import LONG_DEADLINE, ResponseTally, run_constant_load
from service_tests.support.nextup_process import RunningService, read_samples, run_nextup, run_service
from service_tests.support.versions import corrupt_byte, read_artifact_version
from service_tests.support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

SMALL = ["--epochs", "1", "--dim", "16", "--max-len", "20", "--threads", "1"]
USERS, EVENTS, ITEMS = 40, 10, 20
BODIES: list[dict[str, Any]] = [{"user_id": f"u{n}"} for n in range(USERS)] + [{"history": ["i1", "i2"]}]
TIMEOUT_S = 120.0


def run_and_parse(data: Path, *arguments: str) -> dict[str, Any]:
    """Run a command and parse the JSON on its last line."""
    process = run_nextup(data, *arguments)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def write_log(folder: Path) -> Path:
    rows = [
        (f"u{user}", f"i{(user + step) % ITEMS + 1}", 1_700_000_000 + 60 * step)
        for user in range(USERS)
        for step in range(EVENTS)
    ]
    log = folder / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    return log


def get_active_version(service: RunningService) -> str:
    version: str = httpx.post(f"{service.url}/recommend", json=BODIES[0], timeout=60).json()["model_version"]
    return version


def list_served_versions(service: RunningService) -> list[str]:
    """Versions that at least one worker serves."""
    return list(read_samples(service.url, "nextup_model_info"))


def wait_for_more_responses(tally: ResponseTally) -> None:
    target = tally.success_count + 50
    wait_until(lambda: tally.success_count >= target or bool(tally.failures), TIMEOUT_S, "callers get no responses")


@pytest.mark.parametrize("workers", [1, 2])
def test_three_swaps_under_constant_load_fail_no_request(workers: int, tmp_path: Path) -> None:
    """Publish a model trained on dumped events, then a model from elsewhere, then roll back."""
    data, repository = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(repository, num_items=ITEMS))
    with run_service(data, "--artifact", str(repository), "--workers", str(workers), **LONG_DEADLINE) as service:
        run_and_parse(data, "load", str(write_log(tmp_path)))
        with run_constant_load(service.url, BODIES) as tally:
            wait_for_more_responses(tally)
            run_and_parse(data, "dump", "--out", str(tmp_path / "dump"))
            trained = run_and_parse(data, "train", str(tmp_path / "dump"), "--out", str(tmp_path / "next"), *SMALL)
            other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
            versions = [trained["version"], read_artifact_version(other), first]
            for artifact, version in zip((tmp_path / "next", other, repository), versions, strict=True):
                options = ["--into", str(repository), "--url", service.url, "--force"]
                result = run_and_parse(data, "publish", str(artifact), *options)
                assert (result["active"], result["target_version"]) == (version, version)
                wait_until(
                    lambda: len(list_served_versions(service)) == 1,
                    TIMEOUT_S,
                    "workers did not converge to one version",
                )
                assert version in list_served_versions(service)[0]
                # One connection per request, so that every worker may answer.
                assert {get_active_version(service) for _ in range(10)} == {version}
                wait_for_more_responses(tally)
    assert tally.failures == []
    assert set(tally.versions) == {first, *versions}


def test_publish_waits_for_a_running_activation_up_to_its_timeout(tmp_path: Path) -> None:
    data, repository = tmp_path / "data", tmp_path / "models"
    write_tiny_artifact(repository, num_items=ITEMS)
    other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
    with run_service(data, "--artifact", str(repository)) as service:
        publish = ["publish", str(other), "--into", str(repository), "--url", service.url, "--wait"]
        with ExitStack() as activation:
            activation.enter_context(ModelRepository(repository).exclusive_lock())
            timed_out = run_nextup(data, *publish, "3")
            assert timed_out.returncode == 1
            assert "another version is being loaded" in timed_out.stderr
            release = threading.Timer(3.0, activation.pop_all().close)
        release.start()
        published = run_and_parse(data, *publish, "60")
        assert published["active"] == get_active_version(service) == read_artifact_version(other)
        release.join()
        assert read_samples(service.url, "nextup_model_reload_total")["[('result', 'busy')]"] > 1


def test_corrupt_version_is_rejected_and_the_previous_one_keeps_serving(tmp_path: Path) -> None:
    data, repository = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(repository, num_items=ITEMS))
    other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
    bodies = [{"history": ["i1", "i2"]}]
    reads_files = {"NEXTUP_KEEP_PREVIOUS": "0"}  # otherwise the version that served before is not loaded again
    with (
        run_service(data, "--artifact", str(repository), **reads_files, **LONG_DEADLINE) as service,
        run_constant_load(service.url, bodies) as tally,
    ):
        wait_for_more_responses(tally)
        options = ["--into", str(repository), "--url", service.url]
        second = run_and_parse(data, "publish", str(other), *options)["version"]
        run_and_parse(data, "publish", str(repository), *options)
        corrupt_byte(repository / second)
        rejected = run_nextup(data, "publish", str(other), *options)
        assert rejected.returncode == 1
        assert "model.safetensors" in rejected.stderr
        response = httpx.post(f"{service.url}/models/{second}/activate", timeout=60)
        assert (response.status_code, response.json()["title"]) == (409, "Artifact rejected")
        assert get_active_version(service) == first
        assert list(read_samples(service.url, "nextup_model_reload_total").values()).count(1.0) == 1
        wait_for_more_responses(tally)
    assert tally.failures == []
    with run_service(data, "--artifact", str(repository)) as restarted:
        assert get_active_version(restarted) == first, "the target version survives a restart"


def test_version_is_copied_to_the_folder_that_the_running_service_names(tmp_path: Path) -> None:
    data, repository, elsewhere = tmp_path / "data", tmp_path / "models", tmp_path / "elsewhere"
    first = read_artifact_version(write_tiny_artifact(repository, num_items=ITEMS))
    other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
    second = read_artifact_version(other)
    key, reader = run_and_parse(data, "key", "ops", "admin"), run_and_parse(data, "key", "shop", "read")
    entries = f"{key['entry']},{reader['entry']}"
    with run_service(data, "--artifact", str(repository), NEXTUP_API_KEYS=entries) as service:
        publish = ["publish", str(other), "--url", service.url]
        for options, message in (
            ([], "refused to list its models: no API key"),
            (["--key", "s3cret"], "refused to list its models: unknown API key"),
            (["--key", reader["key"]], "only from keys with the scope admin"),
            (["--key", key["key"], "--into", str(elsewhere)], f"serves {repository}, not --into {elsewhere}"),
        ):
            refused = run_nextup(data, *publish, *options)
            assert refused.returncode == 1
            assert message in refused.stderr
            assert refused.stderr.count("\n") == 1
            assert "s3cret" not in refused.stderr
        assert not elsewhere.exists()
        assert not (repository / second).exists(), "nothing is copied that cannot be activated"
        published = run_and_parse(data, *publish, "--key", key["key"])
        assert (published["active"], published["previous"]) == (second, first)
        assert Path(published["folder"]) == repository / second
