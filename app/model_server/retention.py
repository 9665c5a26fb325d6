"""Whether the memory of this machine allows a version in addition to the serving one."""

from app.inference.servable import Servable
from app.runtime.machine import read_free_memory

LOADED_BYTES_PER_FILE_BYTE = 2.0
RESERVE_BYTES = 256 << 20


def can_be_kept(servable: Servable) -> bool:
    """Check that as much memory as the version takes is free in addition to it."""
    size = sum(servable.bytes_by_part().values())
    if device := servable.read_device_memory():
        return device["total"] - device["reserved"] >= size
    return read_free_memory() >= size


def has_room(disk_bytes: int) -> bool:
    """Check that another version with files of this size can be loaded."""
    return read_free_memory() >= LOADED_BYTES_PER_FILE_BYTE * disk_bytes + RESERVE_BYTES
