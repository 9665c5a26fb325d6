"""How torch's threads wait for each other: set before torch is loaded, because OpenMP reads it only then.

By default a waiting thread spins for milliseconds. On a machine with fewer free cores than threads it takes the core
from the thread that it waits for (measurements in models/LOG.md). Child processes inherit the setting.
"""

import os
from collections.abc import MutableMapping

SPIN_COUNT = "1000"
"""Rounds of spinning before a thread sleeps: some ten microseconds, about as long as waking it takes."""
USER_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def set_wait_policy(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep after a short spin, unless the environment sets a policy."""
    if not any(name in environment for name in USER_SETTINGS):
        environment["OMP_WAIT_POLICY"] = "passive"
        environment["GOMP_SPINCOUNT"] = SPIN_COUNT
