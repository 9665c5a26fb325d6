"""The state of a training run on disk, so that a run that was killed goes on where it stopped.

Not the artifact: it holds the optimiser and the best weights so far, and is only good for the same run. Loaded
without pickle's power to run code (`weights_only`).
"""

import os
from pathlib import Path
from typing import Any

import torch

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in one step: a kill leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)


def load_checkpoint(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """None where there is none; ValueError for the checkpoint of another run (data, model or options differ)."""
    path = folder / FILE
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        raise ValueError(f"{path} belongs to a run with other data, model or options; start without --resume")
    return state
