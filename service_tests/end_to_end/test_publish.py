"""The loop closed: what a service stored becomes the model that it changes to, while callers never pause."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from app.model_repository.repository import ModelRepository
from service_tests.end_to_end.test_process import samples
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.constant_load import ResponseTally, run_constant_load
from service_tests.support.nextup_process import RunningService, run_nextup, run_service
from service_tests.support.versions import corrupt_byte, read_artifact_version

SMALL = ["--epochs", "1", "--dim", "16", "--max-len", "20", "--threads", "1"]
USERS, EVENTS, ITEMS = 40, 10, 20
BODIES: list[dict[str, Any]] = [{"user_id": f"u{n}"} for n in range(USERS)] + [{"history": ["i1", "i2"]}]


def said(data: Path, *arguments: str) -> dict[str, Any]:
    """What a command says on its last line."""
    done = run_nextup(data, *arguments)
    assert done.returncode == 0, done.stderr
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def stored_log(folder: Path) -> Path:
    rows = [
        (f"u{user}", f"i{(user + step) % ITEMS + 1}", 1_700_000_000 + 60 * step)
        for user in range(USERS)
        for step in range(EVENTS)
    ]
    log = folder / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    return log


def active(served: RunningService) -> str:
    version: str = httpx.post(f"{served.url}/recommend", json=BODIES[0]).json()["model_version"]
    return version


def shown(served: RunningService) -> list[str]:
    """Versions that any worker serves."""
    return list(samples(served.url, "nextup_model_info"))


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def some_more(tally: ResponseTally) -> None:
    enough = tally.success_count + 50
    wait_until(lambda: tally.success_count >= enough or bool(tally.failures), "callers are answered")


@pytest.mark.parametrize("workers", [1, 2])
def test_three_changes_under_constant_requests_lose_none(workers: int, tmp_path: Path) -> None:
    """Dumped, trained and published; then a version that was made elsewhere; then the way back."""
    data, shelf = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(shelf, num_items=ITEMS))
    into = ["--into", str(shelf)]
    with run_service(data, "--artifact", str(shelf), "--workers", str(workers)) as served:
        said(data, "load", str(stored_log(tmp_path)))
        with run_constant_load(served.url, BODIES) as tally:
            some_more(tally)
            said(data, "dump", "--out", str(tmp_path / "dump"))
            trained = said(data, "train", str(tmp_path / "dump"), "--out", str(tmp_path / "next"), *SMALL)
            other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
            wanted = [trained["version"], read_artifact_version(other), first]
            for artifact, version in zip((tmp_path / "next", other, shelf), wanted, strict=True):
                answer = said(data, "publish", str(artifact), *into, "--url", served.url)
                assert (answer["active"], answer["wanted"]) == (version, version)
                wait_until(lambda: len(shown(served)) == 1, "every worker comes to it")  # as one series is left
                assert version in shown(served)[0]
                assert {active(served) for _ in range(10)} == {version}, "a connection each, so any worker"
                some_more(tally)
    assert tally.failures == []
    assert set(tally.versions) == {first, *wanted}


def test_publishing_waits_while_another_version_is_being_loaded_but_not_for_ever(tmp_path: Path) -> None:
    data, shelf = tmp_path / "data", tmp_path / "models"
    write_tiny_artifact(shelf, num_items=ITEMS)
    other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
    with run_service(data, "--artifact", str(shelf)) as served:
        publish = ["publish", str(other), "--into", str(shelf), "--url", served.url, "--wait"]
        with ExitStack() as loading:
            loading.enter_context(ModelRepository(shelf).exclusive_lock())
            gave_up = run_nextup(data, *publish, "3")
            assert gave_up.returncode == 1
            assert "another version is being loaded" in gave_up.stderr
            done = threading.Timer(3.0, loading.pop_all().close)
        done.start()
        assert said(data, *publish, "60")["active"] == active(served) == read_artifact_version(other)
        done.join()
        assert samples(served.url, "nextup_model_reload_total")["[('result', 'busy')]"] > 1


def test_a_broken_version_is_refused_by_the_running_service_and_the_old_one_goes_on(tmp_path: Path) -> None:
    data, shelf = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(shelf, num_items=ITEMS))
    other = write_tiny_artifact(tmp_path / "other", num_items=ITEMS, seed=9)
    bodies = [{"history": ["i1", "i2"]}]
    with run_service(data, "--artifact", str(shelf)) as served, run_constant_load(served.url, bodies) as tally:
        some_more(tally)
        where = ["--into", str(shelf), "--url", served.url]
        second = said(data, "publish", str(other), *where)["version"]
        said(data, "publish", str(shelf), *where)
        corrupt_byte(shelf / second)
        refused = run_nextup(data, "publish", str(other), *where)
        assert refused.returncode == 1
        assert "model.safetensors" in refused.stderr
        answer = httpx.post(f"{served.url}/models/{second}/activate")
        assert (answer.status_code, answer.json()["title"]) == (409, "Artifact rejected")
        assert active(served) == first
        assert list(samples(served.url, "nextup_model_reload_total").values()).count(1.0) == 1
        some_more(tally)
    assert tally.failures == []
    with run_service(data, "--artifact", str(shelf)) as again:
        assert active(again) == first, "the wish outlives the service"
