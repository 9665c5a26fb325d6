"""API keys in a file, NEXTUP_API_KEYS_FILE."""

from pathlib import Path

from app.api_keys import ApiKeys

MAX_FILE_BYTES = 1_000_000


def read_key_entries(path: Path) -> str:
    """Read the entries of a file as NEXTUP_API_KEYS has them; ValueError states what is wrong with it.

    A line has one or more entries; empty lines and those that begin with # are skipped.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}; check the file") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} must not be larger than {MAX_FILE_BYTES:,} bytes")
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    text = ",".join(line for line in lines if line and not line.startswith("#"))
    try:
        if not len(ApiKeys(text)):
            raise ValueError("it has no entry; see nextup key")
    except ValueError as error:
        raise ValueError(f"{path} is not a list of keys: {error}") from None
    return text
