"""Errors of the history store that do not mean that Redis is unavailable (that is `app.errors.StoreUnavailable`).

The services map them to HTTP statuses. They are ValueErrors, so commands print them as mistakes of the caller.
"""


class InvalidId(ValueError):
    """A user id that cannot be part of a Redis key."""


class InvalidEvent(ValueError):
    """An event that the record format cannot hold; the text names the field."""
