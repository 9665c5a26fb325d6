"""DisconnectGuard ends a block with its client, and its cancellation does not reach the code that follows."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from app.http.client_presence import STATE_KEY, ClientPresence
from app.http.dependencies import LISTEN_DELAY_S, DisconnectGuard
from app.http.middleware import ClientDisconnected

pytestmark = pytest.mark.anyio


def disconnect_at(moment: "asyncio.Future[None]") -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        await moment
        return {"type": "http.disconnect"}

    return receive


async def assert_no_cancellation_pending() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.01)  # a pending cancellation would be raised here


async def test_disconnect_cancels_the_block() -> None:
    moment = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2 * LISTEN_DELAY_S, moment.set_result, None)
    with pytest.raises(ClientDisconnected):
        async with DisconnectGuard({}, disconnect_at(moment)):
            await asyncio.sleep(60)
    await assert_no_cancellation_pending()


@pytest.mark.parametrize("error", [None, ValueError("raised by the block")])
async def test_disconnect_wins_over_block_that_swallows_or_replaces_cancellation(error: Exception | None) -> None:
    async def run_block() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if error is not None:
                raise error from None

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnected):
        async with DisconnectGuard({}, receive):
            await run_block()
    await assert_no_cancellation_pending()


async def test_other_cancellation_stays_cancelled_error() -> None:
    async def run_block() -> None:
        async with DisconnectGuard({}, disconnect_at(asyncio.get_running_loop().create_future())):
            await asyncio.sleep(60)

    task = asyncio.create_task(run_block())
    await asyncio.sleep(2 * LISTEN_DELAY_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_short_block_never_listens_for_disconnect() -> None:
    async def receive() -> Message:
        raise AssertionError("listened")

    async with DisconnectGuard({}, receive):
        await asyncio.sleep(0)
    await asyncio.sleep(2 * LISTEN_DELAY_S)


async def never_receive() -> Message:
    raise AssertionError("listened although the server reports disconnects")


@pytest.mark.parametrize("leaves_before", [False, True])
async def test_server_that_reports_disconnects_is_not_listened_to(leaves_before: bool) -> None:
    presence = ClientPresence()
    if leaves_before:
        presence.leave()
    else:
        asyncio.get_running_loop().call_later(2 * LISTEN_DELAY_S, presence.leave)
    with pytest.raises(ClientDisconnected):
        async with DisconnectGuard({"state": {STATE_KEY: presence}}, never_receive):
            await asyncio.sleep(60)
    await assert_no_cancellation_pending()


async def test_client_that_leaves_after_the_block_cancels_nothing() -> None:
    presence = ClientPresence()
    async with DisconnectGuard({"state": {STATE_KEY: presence}}, never_receive):
        await asyncio.sleep(0)
    presence.leave()
    await assert_no_cancellation_pending()


@pytest.mark.parametrize("presence", [None, ClientPresence()])
async def test_guard_is_freed_without_garbage_collection(presence: ClientPresence | None) -> None:
    scope = {} if presence is None else {"state": {STATE_KEY: presence}}
    gc.collect()
    gc.disable()
    try:
        guard = DisconnectGuard(scope, disconnect_at(asyncio.get_running_loop().create_future()))
        async with guard:
            await asyncio.sleep(2 * LISTEN_DELAY_S)
        await asyncio.sleep(0)  # the listener ends
        reference = weakref.ref(guard)
        del guard
        assert reference() is None
    finally:
        gc.enable()
