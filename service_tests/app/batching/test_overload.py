"""Sustained overload of a batcher, in virtual time: capacity is spent on entries that can end in time."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from app.batching.batcher import Batcher
from app.errors import DeadlineExceeded, Overloaded
from service_tests.support.virtual_time import run_in_virtual_time

BATCH_S, ENTRY_S, COST_S = 0.004, 0.001, 0.00005
"""What a batch, an entry and a position take."""
WARM_UP_S = 3.0
"""The latency model learns from a low load, as in practice."""
MAX_BATCH = 32
MEAN_COST = 20
CAPACITY = MAX_BATCH / (BATCH_S + MAX_BATCH * (ENTRY_S + MEAN_COST * COST_S))
"""Entries per second of full batches."""


@dataclass
class Outcome:
    """Results of one run: entries by outcome, and seconds until a rejection."""

    counts: Counter[str] = field(default_factory=Counter)
    rejected_after_s: list[float] = field(default_factory=list)
    computed: int = 0


async def run_load(rate: float, seconds: float, deadline_s: tuple[float, float], slow_batch_s: float = 0.0) -> Outcome:
    """Poisson arrivals at `rate`, with deadlines between two bounds; `slow_batch_s` delays the batch after 5 s."""
    loop, rng, outcome = asyncio.get_running_loop(), random.Random(1), Outcome()

    async def run_batch(costs: list[float]) -> list[float]:
        outcome.computed += len(costs)
        delay_s = slow_batch_s if 5 < loop.time() < 5 + slow_batch_s / 2 else 0.0
        usual_s = BATCH_S + sum(ENTRY_S + cost * COST_S for cost in costs)
        await asyncio.sleep(delay_s + usual_s * rng.uniform(0.9, 1.1))
        return costs

    batcher = Batcher[float, float](
        run_batch, max_batch=MAX_BATCH, queue_limit=1024, name="model", cost_of=lambda cost: cost
    )

    async def submit(cost: float, deadline: float) -> None:
        started_at = loop.time()
        try:
            await batcher.submit(cost, deadline)
            outcome.counts["in time"] += 1
        except Overloaded:
            outcome.counts["rejected"] += 1
            outcome.rejected_after_s.append(loop.time() - started_at)
        except DeadlineExceeded:
            outcome.counts["late"] += 1

    async def send(rate: float, until: float) -> None:
        while loop.time() < until:
            group.create_task(submit(rng.choice([0, 2, 2, 2, 94]) * 1.0, loop.time() + rng.uniform(*deadline_s)))
            await asyncio.sleep(rng.expovariate(rate))

    async with asyncio.TaskGroup() as group:
        await send(0.3 * CAPACITY, WARM_UP_S)
        await asyncio.sleep(1.0)
        outcome = Outcome()
        await send(rate, WARM_UP_S + 1 + seconds)
    return outcome


@pytest.mark.parametrize(
    ("seconds", "deadline_s"), [(60, (0.2, 0.2)), (10, (1.0, 1.0)), (10, (0.05, 1.0))], ids=["200 ms", "1 s", "mixed"]
)
def test_goodput_at_three_times_capacity_is_near_its_peak(seconds: float, deadline_s: tuple[float, float]) -> None:
    overload = run_in_virtual_time(lambda: run_load(3 * CAPACITY, seconds, deadline_s))
    peak = CAPACITY * seconds
    assert overload.counts["in time"] >= 0.9 * peak, overload.counts
    wasted = overload.computed - overload.counts["in time"]
    assert wasted <= 0.02 * overload.computed, "computed for callers that had left"
    waits = sorted(overload.rejected_after_s)
    assert waits[int(0.99 * len(waits))] < 0.01


def test_load_below_capacity_is_not_rejected() -> None:
    outcome = run_in_virtual_time(lambda: run_load(0.8 * CAPACITY, 10, (0.5, 0.5)))
    assert outcome.counts["in time"] >= 0.995 * outcome.counts.total(), outcome.counts


def test_load_after_one_slow_batch_is_answered() -> None:
    outcome = run_in_virtual_time(lambda: run_load(0.5 * CAPACITY, 15, (0.2, 0.2), slow_batch_s=2.0))
    assert outcome.counts["in time"] >= 0.9 * 0.5 * CAPACITY * 12, outcome.counts
