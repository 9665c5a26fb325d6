"""Whether the client of a connection is still there, and callbacks for the moment when it leaves."""

from collections.abc import Callable
from typing import Any, Final

STATE_KEY: Final = "client_presence"
"""Where a request's state has the presence of its client, if the server knows it."""


class ClientPresence:
    """One per connection; requests that wait for an answer register a callback, and remove it before they end."""

    def __init__(self) -> None:
        self.has_left = False
        self._callbacks: set[Callable[[], Any]] = set()

    def add(self, callback: Callable[[], Any]) -> None:
        """Call `callback` when the client leaves; immediately if it has left already."""
        if self.has_left:
            callback()
        else:
            self._callbacks.add(callback)

    def discard(self, callback: Callable[[], Any]) -> None:
        self._callbacks.discard(callback)

    def leave(self) -> None:
        """Record that the client has left; later calls have no effect."""
        self.has_left = True
        while self._callbacks:
            self._callbacks.pop()()
