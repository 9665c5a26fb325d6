"""Checks of inputs, outputs and the disk before a command begins work that takes long.

ValueError names the option, the path and what to do.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from app.cli.failures import describe_reason
from app.cli.options import LIVE_ITEMS, CommandOptions, Place, list_parameters

MIN_FREE_BYTES = 50_000_000
"""Room below which no command that writes an artifact or a log begins."""


def check_output_folder(folder: Path, option: str = "--out") -> None:
    """Check that files can be written into the folder; it is created and, if it did not exist, removed again."""
    _check_writable(folder, f"{option} {folder}")


def _check_writable(folder: Path, label: str) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            raise ValueError(f"{label} cannot be written: {parent} is a file, not a folder; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".nextup-"):
            pass
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise ValueError(f"{label} cannot be written: {describe_reason(error)}") from None
    finally:
        for parent in missing:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
    if free_bytes < MIN_FREE_BYTES:
        raise ValueError(f"{label} cannot be written: its disk has {free_bytes / 1e6:,.0f} MB left; free some space")


def check_output_file(path: Path, option: str) -> None:
    """Check that a file can be written at this path."""
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; name a file in it")
    if path.exists() and not os.access(path, os.W_OK):
        raise ValueError(f"{option} {path} cannot be written by this user; choose another file")
    _check_writable(path.absolute().parent, f"{option} {path}")


def check_input_file(path: Path, option: str) -> None:
    """Check that a file can be read."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be read: {describe_reason(error)}") from None


def check_item_source(path: Path, option: str) -> None:
    """Check that a file of items can be read; the live catalogue is read by the command itself."""
    if str(path) != LIVE_ITEMS:
        check_input_file(path, option)


def check_places(options: CommandOptions) -> None:
    """Check the paths of a command's options where it reads or writes; other ranks of a training need no access."""
    if os.environ.get("RANK", "0") != "0":
        return
    inputs: list[Path] = []
    outputs: list[tuple[Path, str]] = []
    for parameter in list_parameters(type(options)):
        value, place = getattr(options, parameter.field_name), parameter.spec.place
        if value is not None and place is not None:
            CHECKS[place](value, parameter.label)
        if place == "output_file" and value is not None:
            outputs.append((value, parameter.label))
        elif place != "output_folder":
            inputs += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, Path)]
    for path, label in outputs:
        _check_not_an_input(path, label, inputs)


PICTURES = frozenset({".png", ".svg"})
"""Suffixes of outputs that no command reads from a folder."""


def _check_not_an_input(path: Path, label: str, inputs: list[Path]) -> None:
    """Check that a file to be written is not one that the command reads, alone or as part of a folder."""
    target = path.resolve()
    may_be_read = target.exists() and target.suffix not in PICTURES
    for source in inputs:
        read_path = source.resolve()
        if target == read_path or (may_be_read and source.is_dir() and target.parent == read_path):
            raise ValueError(f"{label} {path} would overwrite an input of the command; choose another file")


CHECKS: Mapping[Place, Callable[[Path, str], None]] = {
    "input_file": check_input_file,
    "item_source": check_item_source,
    "output_file": check_output_file,
    "output_folder": check_output_folder,
}
