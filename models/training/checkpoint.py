"""The state of a training run on disk, so that a run that was killed goes on where it stopped.

Not the artifact: it holds the optimiser and the best weights so far, and is only good for the same run. Loaded
without pickle's power to run code (`weights_only`).
"""

import hashlib
import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from models.data.dataset import Dataset
from models.ranks import SINGLE_PROCESS, Ranks
from models.recommender import SequentialRecommender
from models.training.options import TrainingOptions

CHECKPOINT_FILE = "checkpoint.pt"


def fingerprint(model: SequentialRecommender, dataset: Dataset, options: TrainingOptions) -> str:
    """What must be equal for a checkpoint to be continued: more epochs or minutes, and other ranks, may come later."""
    fixed = {k: v for k, v in asdict(options).items() if k not in ("epochs", "max_minutes", "patience")}
    digest = hashlib.sha256(json.dumps([model.config.to_json(), fixed], sort_keys=True).encode())
    for part in dataset.content(with_times=model.reads_times):
        digest.update(part)
    return digest.hexdigest()


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in one step: a kill leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{CHECKPOINT_FILE}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / CHECKPOINT_FILE)


def load_checkpoint(folder: Path, fingerprint: str, ranks: Ranks = SINGLE_PROCESS) -> dict[str, Any] | None:
    """What is in the first rank's folder, on every rank: the others need not see its disk. None where there is none.

    ValueError for the checkpoint of another run (data, model or options differ).
    """
    path = folder / CHECKPOINT_FILE
    content = ranks.broadcast_bytes(path.read_bytes() if ranks.is_first and path.exists() else b"")
    if not content:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        raise ValueError(f"{path} belongs to a run with other data, model or options; start without --resume")
    return state
