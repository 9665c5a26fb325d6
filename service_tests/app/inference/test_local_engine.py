"""Local engine: short batches run in the event loop, long ones in a thread, with equal answers."""

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
from models.artifact import load_artifact
from models.catalogue.item_key import item_keys
from service_tests.support.artifacts import write_tiny_artifact

pytestmark = pytest.mark.anyio


class TimedServable(Servable):
    """Records the thread that runs a batch and takes `duration_s` more."""

    duration_s = 0.0

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> list[TopItems | Exception]:
        self.thread = threading.current_thread()
        time.sleep(self.duration_s)
        return super().run_batch(queries)


async def recommend(engine: InferenceEngine, item: str = "i3") -> list[str]:
    answer = await engine.find_top_items(Query(item_keys([item]), 5), asyncio.get_running_loop().time() + 10)
    return answer.item_ids


@pytest.mark.slow
async def test_short_batches_run_in_the_event_loop_and_long_ones_do_not_block_it(tmp_path: Path) -> None:
    servable = TimedServable(load_artifact(write_tiny_artifact(tmp_path), device="cpu"))
    engine = InferenceEngine(servable, max_batch=4, queue_limit=100)
    loop_thread = threading.current_thread()
    first = await recommend(engine)
    assert servable.thread is not loop_thread, "the latency model is not ready yet"
    for _ in range(MIN_BATCHES):
        await recommend(engine)
    assert await recommend(engine) == first
    assert servable.thread is loop_thread

    servable.duration_s = 3 * INLINE_S
    for _ in range(MIN_BATCHES):
        await recommend(engine)
    assert servable.thread is not loop_thread
    waiting = asyncio.create_task(recommend(engine))
    ticks = 0
    while not waiting.done():
        await asyncio.sleep(INLINE_S / 10)
        ticks += 1
    assert ticks > 5, "the event loop ran during the batch"
    assert await waiting == first
    await engine.close(1.0)
