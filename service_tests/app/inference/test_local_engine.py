"""The engine: short batches stay in the event loop, long ones leave it free, and the answers are the same."""

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.batching.latency_model import MIN_BATCHES
from app.inference import Query, SimilarQuery, TopItems
from app.inference.local_engine import INLINE_S, InferenceEngine
from app.inference.servable import Servable
from app.item_key import item_keys
from models.artifact import load_artifact
from service_tests.support.artifacts import write_tiny_artifact

pytestmark = pytest.mark.anyio


class Watched(Servable):
    """Notes which thread answers, and takes as long as it is told."""

    takes_s = 0.0

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> list[TopItems | Exception]:
        self.answered_in = threading.current_thread()
        time.sleep(self.takes_s)
        return super().run_batch(queries)


async def ask(engine: InferenceEngine, item: str = "i3") -> list[str]:
    answer = await engine.find_top_items(Query(item_keys([item]), 5), asyncio.get_running_loop().time() + 10)
    return answer.item_ids


@pytest.mark.slow
async def test_the_event_loop_runs_what_is_short_and_is_left_free_by_what_is_long(tmp_path: Path) -> None:
    servable = Watched(load_artifact(write_tiny_artifact(tmp_path), device="cpu"))
    engine = InferenceEngine(servable, max_batch=4, queue_limit=100)
    loop_thread = threading.current_thread()
    first = await ask(engine)
    assert servable.answered_in is not loop_thread, "nothing is known yet"
    for _ in range(MIN_BATCHES):
        await ask(engine)
    assert await ask(engine) == first
    assert servable.answered_in is loop_thread

    servable.takes_s = 3 * INLINE_S
    for _ in range(MIN_BATCHES):
        await ask(engine)
    assert servable.answered_in is not loop_thread
    waiting = asyncio.create_task(ask(engine))
    ticks = 0
    while not waiting.done():
        await asyncio.sleep(INLINE_S / 10)
        ticks += 1
    assert ticks > 5, "the loop ran while the model did"
    assert await waiting == first
    await engine.close(1.0)
