"""Path of the Unix socket between workers and the dedicated model process."""

import os
from pathlib import Path

from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES


def prepare_model_socket(path: Path) -> None:
    """Create the folder of the socket; ValueError if the path is too long for the operating system."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"NEXTUP_DATA_DIR is too long for a socket in it: {path} has more than {MAX_SOCKET_PATH_BYTES} bytes; "
            "set NEXTUP_MODEL_SOCKET"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # left behind by a service that was killed; workers would try it in vain
