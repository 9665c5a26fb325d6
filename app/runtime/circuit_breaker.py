"""Circuit breaker: stops calls to a dependency that fails, and probes it in the background until it works again.

No caller waits for a probe: while the circuit is not closed, callers fail immediately and use their fallback.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Literal

State = Literal["closed", "half_open", "open"]
OnChange = Callable[[State, str], None]
"""Called at each transition with the new state and its cause."""

THRESHOLD = 2
MIN_OPEN_S, MAX_OPEN_S = 0.1, 0.5
"""Pause before a probe, which doubles from the first to the second."""
STEADY_S = 5.0
"""Time without a failure after which the pause before the first probe is short again."""
CLOSE_S = 1.0


class CircuitBreaker:
    """Opens after failures in a row with a total weight of THRESHOLD, and closes when a probe does not raise."""

    def __init__(self, probe: Callable[[], Awaitable[None]], *, on_change: OnChange | None = None) -> None:
        """The probe must bound its own time."""
        self._probe = probe
        self._on_change = on_change
        self._pause_s = MIN_OPEN_S
        self._failures = 0.0
        self._closed_at = float("-inf")
        self._recovery: asyncio.Task[None] | None = None
        self.state: State = "closed"

    @property
    def is_closed(self) -> bool:
        """Whether calls are allowed."""
        return self.state == "closed"

    def record_success(self) -> None:
        """Report a call that succeeded."""
        self._failures = 0.0

    def record_failure(self, cause: str, weight: float = 1.0) -> None:
        """Report a call that failed or timed out; it does not count while the circuit is not closed."""
        if not self.is_closed:
            return
        self._failures += weight
        if self._failures < THRESHOLD:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._closed_at > STEADY_S:
            self._pause_s = MIN_OPEN_S
        self._change("open", cause)
        # The task belongs to no request; otherwise its log lines would carry the id of the one that failed.
        self._recovery = loop.create_task(self._recover(), name="circuit-probe", context=Context())

    async def close(self) -> None:
        """Stop probing; the circuit keeps its state."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery], timeout=CLOSE_S)

    async def _recover(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, MAX_OPEN_S)
            self._change("half_open", "a probe is sent")
            try:
                await self._probe()
            except Exception as error:  # whatever the reason: the dependency does not work yet
                self._change("open", str(error) or type(error).__name__)
            else:
                break
        self._failures, self._closed_at = 0.0, asyncio.get_running_loop().time()
        self._change("closed", "a probe succeeded")

    def _change(self, state: State, cause: str) -> None:
        self.state = state
        if self._on_change is not None:
            self._on_change(state, cause)
