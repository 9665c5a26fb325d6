"""Ids of requests and recommendations: 128 random bits in hex.

Not uuid4, which asks the system for every id: a system call lets go of the interpreter's lock, the model's thread takes
it, and the event loop waits to get it back. Seeded by the system in every process. They name things in logs and events
and are no secrets.
"""

import os
from random import Random

_random = Random()  # noqa: S311 - see above
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def random_id() -> str:
    """32 hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"
