"""Open the storage of an archive by its location."""

from pathlib import Path

from app.archive.files import ArchiveStorage
from app.archive.local_storage import LocalStorage
from app.archive_settings import is_url


def open_storage(location: str) -> ArchiveStorage:
    """Open a folder or an object store; nothing is created or read yet."""
    if is_url(location):
        from app.archive.object_storage import ObjectStorage

        return ObjectStorage(location)
    return LocalStorage(Path(location))
