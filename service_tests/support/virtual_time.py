"""An event loop whose time jumps to the next timer, so that a minute of load takes seconds and always runs alike."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _JumpingSelector(selectors.DefaultSelector):
    """Returns immediately and adds the requested wait to the time."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "no timer is set, so the time cannot advance"
        self.now_s += max(0.0, timeout)
        return super().select(0)


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._selector_with_time = _JumpingSelector()
        super().__init__(self._selector_with_time)

    def time(self) -> float:
        return self._selector_with_time.now_s


def run_in_virtual_time(start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine that does no input or output."""
    with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner:
        return runner.run(start())
