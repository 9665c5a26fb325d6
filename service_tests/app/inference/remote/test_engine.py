"""The engine whose model is elsewhere: bounds, deadlines, callers that leave, and a connection that comes and goes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import ArtifactRejected, DeadlineExceeded, Draining, ModelUnavailable, NotFound, Overloaded
from app.inference import Query, SimilarQuery, TopItems
from app.inference.local_engine import InferenceEngine
from app.inference.remote import engine as elsewhere
from app.inference.remote.engine import RemoteEngine
from app.inference.remote.server import ModelServer
from app.item_key import item_keys
from app.model_server.process import serve_model
from app.settings import Settings
from service_tests.failures.test_overload import block_model, wait_until
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import ModelHandles, Service

pytestmark = pytest.mark.anyio

MOST = 4


@dataclass
class Pair:
    distant: RemoteEngine
    engine: InferenceEngine
    server: ModelServer

    async def ask(self, seconds: float = 10.0, item: str = "i3") -> TopItems:
        return await self.distant.find_top_items(
            Query(item_keys([item]), 5), asyncio.get_running_loop().time() + seconds
        )

    @contextmanager
    def busy(self) -> Iterator[None]:
        with block_model(Service(None, None, ModelHandles(self.engine, None))):  # type: ignore[arg-type]
            yield

    @property
    def pending_count(self) -> int:
        return self.distant.pending_count + self.server.pending_count


@pytest.fixture
async def pair(settings: Settings) -> AsyncIterator[Pair]:
    async with _pair(settings) as found:
        yield found


@asynccontextmanager
async def _pair(settings: Settings) -> AsyncIterator[Pair]:
    async with serve_model(settings) as (engine, _, server):
        distant = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MOST)
        async with distant.connect(5):
            yield Pair(distant, engine, server)


async def test_an_answer_is_the_one_that_the_model_gives_beside_it(pair: Pair) -> None:
    soon = asyncio.get_running_loop().time() + 10
    for query in (
        Query(item_keys(["i7", "stranger", "i9"]), 8, exclude=item_keys(["i1"]), categories=("odd",)),
        Query(item_keys(["i7"]), 8, exclude_seen=False, candidates=item_keys(["i7", "i8", "nobody"])),
        Query(item_keys(["stranger"]), 3),
        SimilarQuery("i4", 6, item_keys(["i5"])),
    ):
        here, there = await pair.engine.find_top_items(query, soon), await pair.distant.find_top_items(query, soon)
        assert (there.item_ids, there.scores, there.source) == (here.item_ids, here.scores, here.source)
        assert (there.unknown_positions.tolist(), there.version) == (here.unknown_positions.tolist(), here.version)


async def test_who_asks_for_an_item_that_is_not_there_is_told_so_and_not_more(pair: Pair) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        await pair.distant.find_top_items(SimilarQuery("nobody", 3), asyncio.get_running_loop().time() + 10)
    assert pair.pending_count == 0


async def test_no_more_wait_than_may_and_the_next_is_refused_at_once(pair: Pair) -> None:
    with pair.busy():
        waiting = [asyncio.create_task(pair.ask()) for _ in range(MOST)]
        await wait_until(lambda: pair.server.pending_count == MOST)
        with pytest.raises(Overloaded) as refused:
            await pair.ask()
        assert refused.value.retry_after_s == 1.0
    assert all(answer.source == "model" for answer in await asyncio.gather(*waiting))
    assert pair.pending_count == 0


async def test_the_server_refuses_more_of_one_connection_by_itself(pair: Pair) -> None:
    pair.server.max_pending = 2
    with pair.busy():
        waiting = [asyncio.create_task(pair.ask()) for _ in range(MOST)]
        done, _ = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        assert {type(task.exception()) for task in done} == {Overloaded}
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told] == [TopItems, TopItems, Overloaded, Overloaded]


async def test_who_leaves_is_forgotten_on_both_sides(pair: Pair) -> None:
    with pair.busy():
        tasks = [asyncio.create_task(pair.ask()) for _ in range(3)]
        await wait_until(lambda: pair.server.pending_count == 3)
        at_once = asyncio.create_task(pair.ask())
        await asyncio.sleep(0)
        for task in (*tasks, at_once):
            task.cancel()
        await asyncio.wait([*tasks, at_once])
        await wait_until(lambda: pair.pending_count == 0 and pair.engine._batcher.depth == 0)
    assert (await pair.ask()).source == "model"


async def test_a_deadline_is_kept_on_both_sides_and_one_that_has_passed_asks_nobody(pair: Pair) -> None:
    with pair.busy():
        with pytest.raises(DeadlineExceeded):
            await pair.ask(0.05)
        await wait_until(lambda: pair.pending_count == 0)
        with pytest.raises(DeadlineExceeded):
            await pair.ask(-1.0)
        assert pair.server.pending_count == 0


async def test_a_worker_that_is_gone_takes_its_entries_along(settings: Settings) -> None:
    async with serve_model(settings) as (engine, models, server):
        distant = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MOST)
        with Pair(distant, engine, server).busy():
            async with distant.connect(0.1):
                deadline = asyncio.get_running_loop().time() + 20
                query = Query(item_keys(["i3"]), 5)
                asked = [asyncio.create_task(distant.find_top_items(query, deadline))]
                await wait_until(lambda: bool(engine._batcher._running))
                asked += [asyncio.create_task(distant.find_top_items(query, deadline)) for _ in range(2)]
                await wait_until(lambda: server.pending_count == 3 and engine._batcher.depth == 2)
            await wait_until(lambda: server.pending_count == 0 and engine._batcher.depth == 0)
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in told] == [Draining] * 3, "what did not come in time is told so"
        assert models.servable is engine.servable


async def test_without_a_model_a_worker_starts_answers_by_popularity_and_finds_the_model_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "START_S", 0.05)
    distant = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MOST)
    soon = asyncio.get_running_loop().time() + 60
    async with distant.connect(1):
        assert distant.find_popular_items(Query(item_keys([]), 3)).item_ids == ["i1", "i2", "i3"]
        assert str(settings.model_socket_path) in (distant.unavailable_reason or "")
        with pytest.raises(ModelUnavailable):
            await distant.find_top_items(Query(item_keys(["i3"]), 3), soon)
        async with serve_model(settings):
            await wait_until(lambda: distant.unavailable_reason is None)
            assert (await distant.find_top_items(Query(item_keys(["i3"]), 3), soon)).source == "model"
        await wait_until(lambda: distant.unavailable_reason is not None)
        with pytest.raises(ModelUnavailable):
            await distant.activate("any")


async def test_a_folder_that_holds_another_version_by_now_is_not_taken_for_the_models(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "START_S", 0.05)
    folder = tmp_path / "replaced"
    shutil.copytree(settings.artifact, folder)
    settings = settings.model_copy(update={"artifact": folder})
    async with serve_model(settings):
        write_tiny_artifact(folder, seed=7)
        distant = RemoteEngine(settings.model_socket_path, folder, max_pending=MOST)
        async with distant.connect(1):
            await wait_until(lambda: "was replaced by version" in (distant.unavailable_reason or ""))


async def test_a_folder_without_a_catalogue_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="holds no artifact"):
        RemoteEngine(tmp_path / "socket", tmp_path, max_pending=MOST)
    write_tiny_artifact(tmp_path)
    (tmp_path / "catalogue.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ArtifactRejected, match=r"the catalogue in .* cannot be read"):
        RemoteEngine(tmp_path / "socket", tmp_path, max_pending=MOST)


async def test_what_is_asked_is_answered_before_a_worker_ends(settings: Settings) -> None:
    async with serve_model(settings) as (engine, _, server):
        distant = RemoteEngine(settings.model_socket_path, settings.artifact, max_pending=MOST)
        found = Pair(distant, engine, server)
        async with distant.connect(10):
            with found.busy():
                asked = [asyncio.create_task(found.ask()) for _ in range(3)]
                await wait_until(lambda: server.pending_count == 3)
        assert [(await one).source for one in asked] == ["model"] * 3
        with pytest.raises(Draining):
            await found.ask()
