"""Waiting for a condition in tests."""

import time
from collections.abc import Callable

POLL_S = 0.05


def wait_until(condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str] | str) -> None:
    """Wait until the condition holds; `describe` gives the message of the failure."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        message = describe if isinstance(describe, str) else describe()
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {message}"
        time.sleep(POLL_S)
