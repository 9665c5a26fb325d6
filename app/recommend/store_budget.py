"""The time that one request may wait for the store, over all of its reads."""

import asyncio


class StoreBudget:
    """A share of the time until the deadline; the rest is for the model, or for an answer without the store."""

    def __init__(self, deadline: float, share: float) -> None:
        """`deadline` is a value of the running loop's `time()`."""
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._started_at = 0.0
        self._remaining_s = self.seconds = share * max(0.0, deadline - self._loop.time())

    @property
    def is_request_late(self) -> bool:
        """Whether the deadline of the request has passed, not only that of its reads."""
        return self._loop.time() >= self._deadline

    def start(self) -> float:
        """Begin a read and return its deadline."""
        self._started_at = self._loop.time()
        return self._started_at + self._remaining_s

    def stop(self) -> None:
        """End a read: the next one has the time that remains."""
        self._remaining_s = max(0.0, self._remaining_s - (self._loop.time() - self._started_at))
