"""A block that ends with its caller: it is told apart from every other end, and nothing of it reaches what follows."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from app.http.dependencies import LISTEN_DELAY_S, DisconnectGuard
from app.http.middleware import ClientDisconnected

pytestmark = pytest.mark.anyio


def leaving_at(moment: "asyncio.Future[None]") -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        await moment
        return {"type": "http.disconnect"}

    return receive


async def nothing_is_left_of_it() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.01)  # a cancellation on its way would strike here


async def test_the_block_of_a_caller_that_leaves_is_broken_off() -> None:
    moment = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2 * LISTEN_DELAY_S, moment.set_result, None)
    with pytest.raises(ClientDisconnected):
        async with DisconnectGuard(leaving_at(moment)):
            await asyncio.sleep(60)
    await nothing_is_left_of_it()


@pytest.mark.parametrize("error", [None, ValueError("of the block")])
async def test_a_block_that_takes_its_end_for_something_else_ends_the_same(error: Exception | None) -> None:
    async def block() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if error is not None:
                raise error from None

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnected):
        async with DisconnectGuard(receive):
            await block()
    await nothing_is_left_of_it()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def block() -> None:
        async with DisconnectGuard(leaving_at(asyncio.get_running_loop().create_future())):
            await asyncio.sleep(60)

    task = asyncio.create_task(block())
    await asyncio.sleep(2 * LISTEN_DELAY_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_listens_to_the_caller_of_a_quick_block() -> None:
    async def receive() -> Message:
        raise AssertionError("listened")

    async with DisconnectGuard(receive):
        await asyncio.sleep(0)
    await asyncio.sleep(2 * LISTEN_DELAY_S)
