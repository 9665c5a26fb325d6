"""Remote engine: bounds, deadlines, cancelled callers, and a connection that ends and is reopened."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import ArtifactRejected, DeadlineExceeded, Draining, ModelUnavailable, NotFound, Overloaded
from app.inference import Query, SimilarQuery, TopItems, find_popular_items
from app.inference.local_engine import InferenceEngine
from app.inference.remote import engine as remote_engine
from app.inference.remote.engine import RemoteEngine
from app.inference.remote.server import ModelServer
from app.model_server.process import serve_model
from app.settings import Settings
from models.catalogue.item_key import item_keys
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import wait_until

pytestmark = pytest.mark.anyio

MAX_PENDING = 4


@dataclass
class Pair:
    """A remote engine connected to the model server that has the local engine."""

    remote: RemoteEngine
    local: InferenceEngine
    server: ModelServer

    async def query(self, seconds: float = 10.0, item: str = "i3") -> TopItems:
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.remote.find_top_items(Query(item_keys([item]), 5), deadline)

    @property
    def pending_count(self) -> int:
        return self.remote.pending_count + self.server.pending_count


@pytest.fixture
async def pair(settings: Settings) -> AsyncIterator[Pair]:
    async with connect_pair(settings) as connected_pair:
        yield connected_pair


@asynccontextmanager
async def connect_pair(settings: Settings) -> AsyncIterator[Pair]:
    async with serve_model(settings) as (engine, _, server):
        remote = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MAX_PENDING)
        async with remote.connect(5):
            yield Pair(remote, engine, server)


async def test_remote_answers_equal_local_answers(pair: Pair) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    for query in (
        Query(item_keys(["i7", "unknown", "i9"]), 8, exclude=item_keys(["i1"]), categories=("odd",)),
        Query(item_keys(["i7"]), 8, exclude_seen=False, candidates=item_keys(["i7", "i8", "other"])),
        Query(item_keys(["unknown"]), 3),
        SimilarQuery("i4", 6, item_keys(["i5"])),
    ):
        local = await pair.local.find_top_items(query, deadline)
        remote = await pair.remote.find_top_items(query, deadline)
        assert (remote.item_ids, remote.scores, remote.source) == (local.item_ids, local.scores, local.source)
        assert remote.unknown_positions.tolist() == local.unknown_positions.tolist()
        assert remote.version == local.version


async def test_query_for_an_unknown_item_raises_not_found_and_leaves_nothing_pending(pair: Pair) -> None:
    with pytest.raises(NotFound, match="'unknown'"):
        await pair.remote.find_top_items(SimilarQuery("unknown", 3), asyncio.get_running_loop().time() + 10)
    assert pair.pending_count == 0


async def test_queries_beyond_max_pending_are_rejected_immediately(pair: Pair) -> None:
    with pair.local.block_thread():
        waiting = [asyncio.create_task(pair.query()) for _ in range(MAX_PENDING)]
        await wait_until(lambda: pair.server.pending_count == MAX_PENDING)
        with pytest.raises(Overloaded) as rejection:
            await pair.query()
        assert rejection.value.retry_after_s == 1.0
    assert all(answer.source == "model" for answer in await asyncio.gather(*waiting))
    assert pair.pending_count == 0


async def test_server_limits_the_pending_queries_of_a_connection(pair: Pair) -> None:
    pair.server.max_pending = 2
    with pair.local.block_thread():
        waiting = [asyncio.create_task(pair.query()) for _ in range(MAX_PENDING)]
        failed, _ = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        assert {type(task.exception()) for task in failed} == {Overloaded}
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [TopItems, TopItems, Overloaded, Overloaded]


async def test_cancelled_queries_are_removed_on_both_sides(pair: Pair) -> None:
    with pair.local.block_thread():
        tasks = [asyncio.create_task(pair.query()) for _ in range(3)]
        await wait_until(lambda: pair.server.pending_count == 3)
        unsent = asyncio.create_task(pair.query())
        await asyncio.sleep(0)
        for task in (*tasks, unsent):
            task.cancel()
        await asyncio.wait([*tasks, unsent])
        await wait_until(lambda: pair.pending_count == 0 and pair.local.queue_depth == 0)
    assert (await pair.query()).source == "model"


async def test_deadlines_hold_on_both_sides_and_expired_queries_are_not_sent(pair: Pair) -> None:
    with pair.local.block_thread():
        with pytest.raises(DeadlineExceeded):
            await pair.query(0.05)
        await wait_until(lambda: pair.pending_count == 0)
        with pytest.raises(DeadlineExceeded):
            await pair.query(-1.0)
        assert pair.server.pending_count == 0


async def test_entries_of_a_disconnected_worker_are_removed(settings: Settings) -> None:
    async with serve_model(settings) as (engine, manager, server):
        remote = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MAX_PENDING)
        with engine.block_thread():
            async with remote.connect(0.1):
                deadline = asyncio.get_running_loop().time() + 20
                query = Query(item_keys(["i3"]), 5)
                tasks = [asyncio.create_task(remote.find_top_items(query, deadline))]
                await wait_until(lambda: engine.running_batches == 1)
                tasks += [asyncio.create_task(remote.find_top_items(query, deadline)) for _ in range(2)]
                await wait_until(lambda: server.pending_count == 3 and engine.queue_depth == 2)
            await wait_until(lambda: server.pending_count == 0 and engine.queue_depth == 0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [Draining] * 3, "unanswered queries fail after the drain"
        assert manager.servable is engine.servable


async def test_worker_starts_without_a_model_and_connects_when_one_appears(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "START_S", 0.05)
    remote = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MAX_PENDING)
    deadline = asyncio.get_running_loop().time() + 60
    async with remote.connect(1):
        assert find_popular_items(remote.servable, Query(item_keys([]), 3)).item_ids == ["i1", "i2", "i3"]
        assert str(settings.model_socket_path) in (remote.unavailable_reason or "")
        with pytest.raises(ModelUnavailable):
            await remote.find_top_items(Query(item_keys(["i3"]), 3), deadline)
        async with serve_model(settings):
            await wait_until(lambda: remote.unavailable_reason is None)
            assert (await remote.find_top_items(Query(item_keys(["i3"]), 3), deadline)).source == "model"
        await wait_until(lambda: remote.unavailable_reason is not None)
        with pytest.raises(ModelUnavailable):
            await remote.activate("any")


async def test_folder_that_was_replaced_by_another_version_is_not_used_without_copies(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_engine, "START_S", 0.05)
    folder = tmp_path / "replaced"
    shutil.copytree(settings.artifact, folder)
    settings = settings.model_copy(update={"artifact": folder, "copy_artifacts": False})
    async with serve_model(settings):
        write_tiny_artifact(folder, seed=7)
        remote = RemoteEngine(settings.model_socket_path, folder, max_pending=MAX_PENDING)
        async with remote.connect(1):
            await wait_until(lambda: "now holds version" in (remote.unavailable_reason or ""))


async def test_folder_without_a_readable_catalogue_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="holds no readable artifact"):
        RemoteEngine(tmp_path / "socket", tmp_path, max_pending=MAX_PENDING)
    write_tiny_artifact(tmp_path)
    (tmp_path / "catalogue.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ArtifactRejected, match=r"the catalogue in .* cannot be read"):
        RemoteEngine(tmp_path / "socket", tmp_path, max_pending=MAX_PENDING)


async def test_pending_queries_are_answered_before_a_worker_ends(settings: Settings) -> None:
    async with serve_model(settings) as (engine, _, server):
        remote = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MAX_PENDING)
        pair = Pair(remote, engine, server)
        async with remote.connect(10):
            with engine.block_thread():
                tasks = [asyncio.create_task(pair.query()) for _ in range(3)]
                await wait_until(lambda: server.pending_count == 3)
        assert [(await task).source for task in tasks] == ["model"] * 3
        with pytest.raises(Draining):
            await pair.query()
