"""Cycles are collected after a growth and after a time, never after a number of allocations."""

import asyncio
import gc
import weakref

import pytest

from app.runtime.garbage import collect_garbage_rarely
from service_tests.support.service import wait_until

pytestmark = pytest.mark.anyio


class Node:
    """An object that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


def make_cycles(count: int) -> weakref.ref[Node]:
    for _ in range(count - 1):
        Node()
    return weakref.ref(Node())


async def test_allocations_alone_start_no_collection() -> None:
    async with collect_garbage_rarely(check_s=3600, interval_s=3600, max_growth=1_000_000):
        node = make_cycles(50_000)
        await asyncio.sleep(0)
        assert node() is not None
        assert not gc.isenabled()
    assert gc.isenabled()


async def test_growth_is_bounded() -> None:
    async with collect_garbage_rarely(check_s=0.01, interval_s=3600, max_growth=20_000):
        few = make_cycles(10)
        await asyncio.sleep(0.05)
        assert few() is not None
        many = make_cycles(20_000)
        await wait_until(lambda: many() is None)
        assert few() is None


async def test_few_cycles_are_collected_after_the_interval() -> None:
    async with collect_garbage_rarely(check_s=0.01, interval_s=0.1, max_growth=1_000_000):
        node = make_cycles(10)
        await wait_until(lambda: node() is None)


async def test_objects_that_exist_before_are_excluded() -> None:
    before = make_cycles(1)
    node = before()
    async with collect_garbage_rarely():
        del node
        gc.collect()
        assert before() is not None
    gc.collect()
    assert before() is None
