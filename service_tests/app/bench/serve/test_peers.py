"""A peer does the same work: same artifact, same histories, same answers. One that cannot run says why."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.bench.serve.peer_runs import parse_peers
from app.bench.serve.peers import torchserve_handler
from app.bench.serve.peers.torchserve import (
    PeerMissing,
    ensure_environment,
    find_java,
    format_configuration,
    torchserve,
)
from app.bench.serve.recall import fetch_answers, recall
from app.bench.serve.rounds import run_uvicorn
from app.item_key import item_keys
from models.artifact import load_artifact
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio

FIRST_S = 1_700_000_000  # of the first event that a test writes; the next ones follow by a second each
Served = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model that reads times, which a peer might forget."""
    return write_tiny_artifact(tmp_path_factory.mktemp("blossom"), preset="blossom")


@pytest.fixture
async def served(
    service_with: Callable[..., AbstractAsyncContextManager[Service]], artifact: Path
) -> AsyncIterator[Served]:
    """What our service answers to a user after these items."""
    async with service_with(artifact=artifact) as service:

        async def answer(user: str, *items: str) -> dict[str, Any]:
            await service.post_events(user, *items)
            return await service.recommend(user_id=user, k=7)

        yield answer


async def test_torchserve_answers_a_batch_as_the_service_does(
    served: Served, redis_url: str, artifact: Path, new_user: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = new_user()
    ours = await served(user, "i3", "i1", "i4")
    monkeypatch.setenv(torchserve_handler.ARTIFACT, str(artifact))
    monkeypatch.setenv(torchserve_handler.REDIS, redis_url)
    monkeypatch.setenv(torchserve_handler.BATCH, "4")
    handler = torchserve_handler.Handler()
    handler.initialize(None)
    parsed, raw, nobody = handler.handle(
        [
            {"body": {"user_id": user, "k": 7}},
            {"body": json.dumps({"user_id": user, "k": 3}).encode()},
            {"data": {"user_id": "nobody at all"}},
        ],
        None,
    )
    handler.redis.close()
    expected = [item["item_id"] for item in ours["items"]]
    assert [item["item_id"] for item in parsed["items"]] == expected
    assert [item["item_id"] for item in raw["items"]] == expected[:3]
    assert (parsed["served_by"], nobody["served_by"]) == ("model", "popularity")


@pytest.mark.slow
async def test_the_naive_service_answers_as_ours_does(
    served: Served, redis_url: str, artifact: Path, new_user: Callable[[], str]
) -> None:
    user = new_user()
    ours = await served(user, "i3", "i1", "i4")
    variables = {"NEXTUP_REDIS_URL": redis_url, "NEXTUP_ARTIFACT": str(artifact), "NEXTUP_TORCH_THREADS": "1"}
    with run_uvicorn(
        "naive", "app.bench.serve.peers.naive:create_naive", 1, factory=True, variables=variables
    ) as naive:
        theirs = fetch_answers(naive, [user, "nobody at all"], 7)
        async with httpx.AsyncClient(base_url=f"http://{naive.host}:{naive.port}") as http:
            whole = (await http.post(naive.path, json={"user_id": user, "k": 7})).json()
    assert theirs == {user: [item["item_id"] for item in ours["items"]]}, "who is unknown was not the model's"
    assert (whole["history_length"], whole["model_version"]) == (3, ours["model_version"])
    reference = load_artifact(artifact, device="cpu")
    keys = item_keys(["i3", "i1", "i4"])
    history = {user: (keys, FIRST_S + np.arange(3, dtype=np.uint32))}
    assert recall(reference, theirs, history) == 1.0
    wrong = {user: [*theirs[user][:-1], "i3"]}
    assert recall(reference, wrong, history) == pytest.approx(6 / 7)
    assert recall(reference, {}, {}) is None


def test_without_java_torchserve_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    peer = torchserve("torchserve", tmp_path / "venv", tmp_path, "redis://localhost", native=False)
    with pytest.raises(PeerMissing, match="no Java"), peer:
        pass
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == tmp_path / "bin" / "java"


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PeerMissing, match="its environment could not be made"):
        ensure_environment(tmp_path / "file" / "venv")


def test_the_configuration_is_what_torchserve_reads() -> None:
    found = dict(line.split("=", 1) for line in format_configuration([1, 2, 3]).splitlines())
    assert found["metrics_address"] == "http://127.0.0.1:3"
    assert found["disable_token_authorization"] == "true"
    assert json.loads(found["models"])["nextup"]["1.0"]["batchSize"] == 32


def test_peers_are_known_by_name() -> None:
    assert parse_peers("naive,torchserve,naive") == ["naive", "torchserve"]
    assert parse_peers("") == []
    with pytest.raises(ValueError, match="--peers has 'nobody'"):
        parse_peers("naive,nobody")
