"""How long a connection of uvicorn's protocols has waited for its next request."""

from typing import Any


def get_idle_s(connection: Any, now: float, opened_at: float) -> float | None:
    """Return the seconds without a request; None while one is received or answered.

    `now` and `opened_at` are times of the event loop; `opened_at` counts before the first request.
    """
    cycle, timer = connection.cycle, connection.timeout_keep_alive_task
    if cycle is None:
        return now - opened_at
    if not cycle.response_complete or timer is None:
        return None
    answered_at: float = timer.when() - connection.timeout_keep_alive
    return now - answered_at
