"""Checkpoints of a training run, from which an interrupted run resumes.

A checkpoint is not an artifact: it includes the optimizer state and the best weights so far, and fits only the run that
wrote it. It is loaded with `weights_only`, so no code from the file is executed.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from models.data.dataset import Dataset
from models.recommender import SequentialRecommender
from models.training.options import RunContext, TrainingOptions

CHECKPOINT_FILE = "checkpoint.pt"
DAMAGED = "damaged"
MUTABLE_OPTIONS = ("epochs", "max_minutes", "patience", "validate_every")


class OtherRun(ValueError):
    """The checkpoint is of a run with other data, model or options."""


class DamagedCheckpoint(ValueError):
    """The file is cut off or not a checkpoint, as after a full disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is damaged or incomplete; remove it, or start without --resume")


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Metrics of one epoch; `loss` is the mean over targets, `seconds` exclude evaluation."""

    epoch: int
    loss: float
    ndcg: float
    hr: float
    seconds: float
    targets_per_s: float
    learning_rate: float


@dataclass(slots=True)
class LoopState:
    """Position of the training loop: `epoch` from 1, `step` within the epoch, `total_steps` over all epochs.

    `loss_sum`, `num_targets` and `seconds` are sums over the current epoch, `trained_s` over the run; with a time limit
    it includes validation. `learning_rate` is the base rate, before warm-up and schedule.
    """

    learning_rate: float
    epoch: int = 1
    step: int = 0
    total_steps: int = 0
    loss_sum: float = 0.0
    num_targets: int = 0
    seconds: float = 0.0
    trained_s: float = 0.0

    def start_next_epoch(self) -> None:
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.num_targets, self.seconds = 0.0, 0, 0.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run needs to resume; `best` are the weights of the best epoch so far, empty before the first."""

    fingerprint: str
    state: LoopState
    curve: list[EpochRecord]
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: dict[str, Tensor]


def compute_fingerprint(model: SequentialRecommender, dataset: Dataset, options: TrainingOptions) -> str:
    """Hash everything that a resumed run must share; `MUTABLE_OPTIONS` and the number of ranks may change."""
    fixed = {k: v for k, v in asdict(options).items() if k not in MUTABLE_OPTIONS}
    digest = hashlib.sha256(json.dumps([model.config.to_json(), fixed], sort_keys=True).encode())
    for part in dataset.iter_fingerprint_bytes(with_times=model.reads_times):
        digest.update(part)
    return digest.hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint atomically: after a kill the folder has the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    content |= {"state": asdict(checkpoint.state), "curve": [asdict(record) for record in checkpoint.curve]}
    partial = folder / f"{CHECKPOINT_FILE}.partial"
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / CHECKPOINT_FILE)


def load_checkpoint(context: RunContext, fingerprint: str) -> Checkpoint | None:
    """Load the checkpoint in the first rank's folder on every rank; None if there is none.

    Other ranks need no access to that folder. OtherRun if data, model or options differ from the checkpoint's run,
    DamagedCheckpoint if it cannot be read.
    """
    path, ranks = context.folder / CHECKPOINT_FILE, context.ranks
    content = ranks.broadcast_bytes(path.read_bytes() if ranks.is_first and path.exists() else b"")
    if not content:
        return None
    with _report_damage(path):
        values: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        _check_fingerprint(values["fingerprint"], fingerprint, path)
        values["state"] = LoopState(**values["state"])
        values["curve"] = [EpochRecord(**record) for record in values["curve"]]
        return Checkpoint(**values)


def check_resumable(context: RunContext, fingerprint: str) -> None:
    """ValueError on every rank if the first rank's folder has a checkpoint of another run, or a damaged one.

    For stages that begin late: the run is refused before any stage trains.
    """
    path, ranks = context.folder / CHECKPOINT_FILE, context.ranks
    stored_fingerprint: str | None = None
    if ranks.is_first and path.exists():
        try:
            with _report_damage(path):
                stored_fingerprint = str(
                    torch.load(path, map_location="cpu", weights_only=True, mmap=True)["fingerprint"]
                )
        except DamagedCheckpoint:
            stored_fingerprint = DAMAGED
    stored_fingerprint = ranks.broadcast_object(stored_fingerprint)
    if stored_fingerprint == DAMAGED:
        raise DamagedCheckpoint(path)
    if stored_fingerprint is not None:
        _check_fingerprint(stored_fingerprint, fingerprint, path)


def _check_fingerprint(stored_fingerprint: str, fingerprint: str, path: Path) -> None:
    if stored_fingerprint != fingerprint:
        raise OtherRun(f"{path} belongs to a run with other data, model or options; start without --resume")


@contextmanager
def _report_damage(path: Path) -> Iterator[None]:
    """Convert every error of reading the file to DamagedCheckpoint."""
    try:
        yield
    except OtherRun:
        raise
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, UnpicklingError) as error:
        raise DamagedCheckpoint(path) from error
