"""Keys with which the service signs values for clients: from NEXTUP_SIGNING_KEYS, else from a file it writes once."""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

log = logging.getLogger("nextup")

KEY_FILE = "signing.key"
MIN_KEY_CHARACTERS = 32


def parse_signing_keys(text: str) -> list[bytes]:
    """Split comma-separated keys; ValueError for one that can be guessed."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    if any(len(key) < MIN_KEY_CHARACTERS for key in keys):
        raise ValueError(f"each key must have {MIN_KEY_CHARACTERS} characters or more, such as `openssl rand -hex 32`")
    return [key.encode() for key in keys]


def load_signing_keys(text: str | None, folder: Path) -> list[bytes]:
    """Return the keys of `text`; without any, the one in `folder`, which all processes of the service share."""
    keys = parse_signing_keys(text or "")
    if keys:
        return keys
    try:
        return [_load_or_create(folder / KEY_FILE)]
    except OSError as error:
        log.warning(
            "%s cannot be used: %s; cursors of this process are valid in no other one; set NEXTUP_SIGNING_KEYS",
            folder / KEY_FILE,
            error.strerror or error,
        )
        return [secrets.token_hex(MIN_KEY_CHARACTERS).encode()]


def _load_or_create(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{KEY_FILE}-") as file:  # readable for its owner only
        file.write(secrets.token_hex(MIN_KEY_CHARACTERS))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):  # of another process that starts at the same time
            os.link(file.name, path)
    return _read(path)


def _read(path: Path) -> bytes:
    key = path.read_bytes().strip()
    if len(key) < MIN_KEY_CHARACTERS:
        raise OSError(f"it has fewer than {MIN_KEY_CHARACTERS} characters")
    return key
