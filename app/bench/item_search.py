"""Times of searches in a synthetic catalogue, and the longest delay of an event loop next to them.

    python -m app.bench.item_search [ITEMS]

Prints one line per text: median and longest milliseconds of a search, its CPU time, and the longest step of the loop
meanwhile by the CPU time of the process: that of the thread while the loop waits for it. On a busy machine, wall time
shows other processes.
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from string import ascii_lowercase

import numpy as np

from app.inference.item_search import search_items
from app.inference.remote.versions import RemoteVersion
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex

NUM_ITEMS, NUM_WORDS, REPEATS, LIMIT = 1_000_000, 20_000, 7, 20
TICK_S = 0.0005


def make_catalogue(num_items: int, rng: random.Random) -> tuple[Catalogue, list[str]]:
    """Make a catalogue whose titles have two to seven words, some with letters that are not ASCII."""
    letters = ascii_lowercase * 8 + "éöß"
    words = ["".join(rng.choices(letters, k=rng.randint(3, 9))).title() for _ in range(NUM_WORDS)]
    titles = [" ".join(rng.choices(words, k=rng.randint(2, 7))) for _ in range(num_items)]
    item_ids = [f"B{number:09d}" for number in range(num_items)]
    counts = np.zeros(num_items, dtype=np.int64)
    return Catalogue(item_ids, counts, titles, CategoryIndex.empty(num_items)), words


async def measure(work: Callable[[], object]) -> tuple[list[float], list[float], float]:
    """Return wall and CPU seconds of calls in a thread, and the longest step of the event loop in CPU seconds."""
    steps: list[float] = []

    async def measure_steps() -> None:
        while True:
            started_at = time.process_time()
            await asyncio.sleep(TICK_S)
            steps.append(time.process_time() - started_at)

    def run() -> float:
        started_at = time.thread_time()
        work()
        return time.thread_time() - started_at

    ticking = asyncio.create_task(measure_steps())
    seconds, cpu_seconds = [], []
    for _ in range(REPEATS):
        started_at = time.perf_counter()
        cpu_seconds.append(await asyncio.to_thread(run))
        seconds.append(time.perf_counter() - started_at)
    ticking.cancel()
    return seconds, cpu_seconds, max(steps, default=0.0)


async def main() -> None:
    rng = random.Random(0)  # noqa: S311 - no secret
    catalogue, words = make_catalogue(int(sys.argv[1]) if len(sys.argv) > 1 else NUM_ITEMS, rng)
    version = RemoteVersion("synthetic", catalogue, None)
    print(f"{catalogue.num_items:,} items, {catalogue.title_strings.nbytes / 1e6:.0f} MB of titles")
    await report("an idle thread", partial(time.sleep, 0.1))
    three_words = " ".join(words[1:4])
    for name, text in (("a letter", "e"), ("a word", words[0]), ("no match", "zzzzzz"), ("three words", three_words)):
        await report(name, partial(search_items, version, text, LIMIT))


async def report(name: str, work: Callable[[], object]) -> None:
    await asyncio.to_thread(work)
    seconds, cpu_seconds, step = await measure(work)
    print(
        f"{name:16} {median(seconds) * 1e3:6.1f} ms, longest {max(seconds) * 1e3:6.1f}, "
        f"CPU {median(cpu_seconds) * 1e3:5.1f}; longest step of the event loop {step * 1e3:.1f} ms of CPU"
    )


if __name__ == "__main__":
    asyncio.run(main())
