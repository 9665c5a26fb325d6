"""Peers do the same work with the same artifact, histories and results; one that cannot run reports the reason."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.bench.serve.peers import torchserve_handler
from app.bench.serve.peers.torchserve import (
    PeerMissing,
    ensure_environment,
    find_java,
    format_configuration,
    run_torchserve,
)
from app.bench.serve.recall import compute_recall, fetch_answers
from app.bench.serve.servers import run_uvicorn
from models.artifact import load_artifact
from models.catalogue.item_key import item_keys
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio

FIRST_S = 1_700_000_000  # time of the first event of a test; the following ones are one second apart
Recommend = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose model uses event times, which a peer might omit."""
    return write_tiny_artifact(tmp_path_factory.mktemp("blossom"), preset="blossom")


@pytest.fixture
async def recommend(
    service_with: Callable[..., AbstractAsyncContextManager[Service]], artifact: Path
) -> AsyncIterator[Recommend]:
    """Write these items for a user and return the service's recommendation."""
    async with service_with(artifact=artifact) as service:

        async def write_and_recommend(user: str, *items: str) -> dict[str, Any]:
            await service.post_events(user, *items)
            return await service.recommend(user_id=user, k=7)

        yield write_and_recommend


async def test_torchserve_handler_matches_the_service(
    recommend: Recommend, redis_url: str, artifact: Path, new_user: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = new_user()
    expected = await recommend(user, "i3", "i1", "i4")
    monkeypatch.setenv(torchserve_handler.ARTIFACT, str(artifact))
    monkeypatch.setenv(torchserve_handler.REDIS, redis_url)
    monkeypatch.setenv(torchserve_handler.BATCH, "4")
    handler = torchserve_handler.Handler()
    handler.initialize(None)
    parsed, raw, unknown = handler.handle(
        [
            {"body": {"user_id": user, "k": 7}},
            {"body": json.dumps({"user_id": user, "k": 3}).encode()},
            {"data": {"user_id": "unknown user"}},
        ],
        None,
    )
    handler.redis.close()
    item_ids = [item["item_id"] for item in expected["items"]]
    assert [item["item_id"] for item in parsed["items"]] == item_ids
    assert [item["item_id"] for item in raw["items"]] == item_ids[:3]
    assert (parsed["served_by"], unknown["served_by"]) == ("model", "popularity")


@pytest.mark.slow
async def test_naive_service_matches_the_service(
    recommend: Recommend, redis_url: str, artifact: Path, new_user: Callable[[], str]
) -> None:
    user = new_user()
    expected = await recommend(user, "i3", "i1", "i4")
    variables = {"NEXTUP_REDIS_URL": redis_url, "NEXTUP_ARTIFACT": str(artifact), "NEXTUP_TORCH_THREADS": "1"}
    with run_uvicorn(
        "naive", "app.bench.serve.peers.naive:create_naive", 1, factory=True, variables=variables
    ) as naive:
        answers = fetch_answers(naive, [user, "unknown user"], 7)
        async with httpx.AsyncClient(base_url=f"http://{naive.host}:{naive.port}", timeout=60) as http:
            response = (await http.post(naive.path, json={"user_id": user, "k": 7})).json()
    assert answers == {user: [item["item_id"] for item in expected["items"]]}, "the model does not serve unknown users"
    assert (response["history_length"], response["model_version"]) == (3, expected["model_version"])
    reference = load_artifact(artifact, device="cpu")
    keys = item_keys(["i3", "i1", "i4"])
    history = {user: (keys, FIRST_S + np.arange(3, dtype=np.uint32))}
    assert compute_recall(reference, answers, history) == 1.0
    wrong = {user: [*answers[user][:-1], "i3"]}
    assert compute_recall(reference, wrong, history) == pytest.approx(6 / 7)
    assert compute_recall(reference, {}, {}) is None


def test_torchserve_requires_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    peer = run_torchserve("torchserve", tmp_path / "venv", tmp_path, "redis://localhost", native=False)
    with pytest.raises(PeerMissing, match="no Java"), peer:
        pass
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == tmp_path / "bin" / "java"


@pytest.mark.process
def test_environment_error_states_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PeerMissing, match="cannot create its environment"):
        ensure_environment(tmp_path / "file" / "venv")


def test_configuration_has_torchserve_format() -> None:
    properties = dict(line.split("=", 1) for line in format_configuration([1, 2, 3]).splitlines())
    assert properties["metrics_address"] == "http://127.0.0.1:3"
    assert properties["disable_token_authorization"] == "true"
    assert json.loads(properties["models"])["nextup"]["1.0"]["batchSize"] == 32
