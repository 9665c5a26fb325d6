"""Wait in tests until a condition holds, and fail with a description if it does not in time."""

import asyncio
import time
from collections.abc import Callable

POLL_INTERVAL_S = 0.02

Description = str | Callable[[], str]
"""Text of the failure; a function is called at the timeout, so that it can show the state of that moment."""


def wait_until(
    condition: Callable[[], object],
    timeout_s: float,
    description: Description,
    *,
    ignored: type[Exception] | tuple[type[Exception], ...] = (),
) -> None:
    """Poll `condition` until it is true; an `ignored` exception counts as false.

    AssertionError with the description after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not _holds(condition, ignored):
        if time.monotonic() > deadline:
            raise AssertionError(_format_failure(timeout_s, description))
        time.sleep(POLL_INTERVAL_S)


async def wait_until_async(
    condition: Callable[[], object], timeout_s: float = 60.0, description: Description = "the condition holds"
) -> None:
    """Poll `condition` like `wait_until`, and let the event loop run in between."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(_format_failure(timeout_s, description))
        await asyncio.sleep(0.005)


def _holds(condition: Callable[[], object], ignored: type[Exception] | tuple[type[Exception], ...]) -> bool:
    try:
        return bool(condition())
    except ignored:
        return False


def _format_failure(timeout_s: float, description: Description) -> str:
    text = description if isinstance(description, str) else description()
    return f"not within {timeout_s:g} s: {text}"
