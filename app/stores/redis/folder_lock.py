"""The lock that keeps two services from using one data folder."""

import os
import time
from pathlib import Path
from typing import IO

from app.errors import StoreUnavailable

LOCK_WAIT_S = 3.0


def acquire_lock(path: Path) -> IO[bytes]:
    """Lock a data folder; wait for LOCK_WAIT_S, because the server of a killed service needs a moment to end."""
    import fcntl  # not on Windows, where there is no redis-server to start either

    # For reading only, because an open file that can be written keeps a disk from becoming read-only.
    lock = os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600), "rb")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                lock.close()
                raise StoreUnavailable(
                    f"another nextup process uses {path.parent.parent}; "
                    "stop it, or set NEXTUP_DATA_DIR or NEXTUP_REDIS_URL"
                ) from None
            time.sleep(0.05)
        else:
            return lock
