"""Random ids that are unique and no secrets.

They come from a generator in the process. The system's entropy takes a system call, which releases the GIL: the model's
thread takes it, and the event loop waits to get it back.
"""

import os
from random import Random

_random = Random()  # noqa: S311 - no secrets; seeded by the system in every process
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def generate_id() -> str:
    """Generate an id of a request or a recommendation: 128 random bits as 32 hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"


def generate_nonce(num_bytes: int) -> bytes:
    """Generate random bytes that tell one signed value from another."""
    return _random.randbytes(num_bytes)
