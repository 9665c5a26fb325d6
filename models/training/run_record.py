"""The options that a run was started with, so that resuming with other ones is refused before the log is read.

The checkpoint's fingerprint also covers the data; it can only be compared when the log has been read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.training.checkpoint import CHECKPOINT_FILE

RUN_FILE = "run.json"
COMMA_SEPARATED = ("attributes",)
"""Options whose list is one text, `none` if it is empty; other lists repeat the option."""


def find_other_option(folder: Path, options: Mapping[str, Any]) -> str | None:
    """Describe an option that differs from those of the interrupted run in this folder; None if there is none."""
    if not any(folder.rglob(CHECKPOINT_FILE)):
        return None
    try:
        recorded: dict[str, Any] = json.loads((folder / RUN_FILE).read_text())
        different = [name for name, value in _to_json(options).items() if recorded.get(name, value) != value]
    except (OSError, ValueError, AttributeError):
        return None  # a run without a record, which its fingerprint identifies
    if not different:
        return None
    name = different[0]
    return (
        f"--resume continues the run in {folder}, which was started with {_format(name, recorded[name])} "
        f"(got {_format(name, options[name])}); pass the same option, or leave out --resume"
    )


def write_run_record(folder: Path, options: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(json.dumps(_to_json(options), indent=1) + "\n")


def _to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert as writing and reading does, so that tuples equal lists."""
    values: dict[str, Any] = json.loads(json.dumps(dict(options)))
    return values


def _format(name: str, value: Any) -> str:
    """Format an option as the command line has it; "no --option" for one that was not given."""
    option = f"--{name.replace('_', '-')}"
    if value is None:
        return f"no {option}"
    if isinstance(value, bool):
        return option if value else f"--no-{option.removeprefix('--')}"
    if not isinstance(value, (list, tuple)):
        return f"{option} {value}"
    if name in COMMA_SEPARATED:
        return f"{option} {','.join(value) or 'none'}"
    return " ".join(f"{option} {each}" for each in value) or f"no {option}"
