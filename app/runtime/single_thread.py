"""One thread for a library that blocks: calls run in their order, and never delay the exit of the process."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class SingleThread:
    """Runs functions in a daemon thread; a ThreadPoolExecutor would be joined at exit, however long a call blocks."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], Result]) -> Result:
        """Run a function in the thread and return its result; it runs to its end if the caller is cancelled."""
        future: Future[Result] = Future()
        self._calls.put((future, function))
        return await asyncio.shield(asyncio.wrap_future(future))

    def _run(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
