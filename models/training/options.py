"""Options of a training run, with the defaults that the presets were tuned with (models/LOG.md)."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from models.ranks import SINGLE_PROCESS, Ranks

FULL_SOFTMAX_ITEMS = 50_000
"""Largest catalogue trained with the full softmax; larger ones use sampled negatives (times in models/LOG.md)."""

GBCE_NEGATIVES = 256
"""k of the published gSASRec (arXiv 2308.07192)."""

LOSSES = ("softmax", "gbce")

FIRST_STAGE_SHARE = 0.9
SECOND_STAGE_EPOCHS = 3
"""Most epochs of the second stage: more of them unlearn the first one."""
MIN_STAGE_MINUTES = 1e-6
DECAY_SHARE = 0.4
"""Last part of a run over which a linear schedule lowers the learning rate."""

Schedule = Literal["plateau", "linear"]
InitialVectors = Literal["random", "counts"]
CategoryVectors = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Hyperparameters of training.

    `batch_cells` is the padded size of a batch, users × positions; `patience` is in epochs without improvement.
    `schedule` controls the learning rate: "plateau" halves it after every `plateau` epochs without improvement, for
    runs of unknown length; "linear" keeps it constant and lowers it towards zero over the last part of the epochs or
    minutes, for runs with a fixed budget. `averaging` is the decay of the weights' running average; 0 disables it.
    `keep_seen` evaluates without filtering seen items, for logs in which users return to items. `loss` is a name in
    LOSSES; `calibration` is the t of gBCE and unused by the softmax. `max_minutes` limit a stage, validation included;
    `nextup train` derives them from the time for the whole run. `validate_every` is in epochs.
    `fused` takes faster forms of optimizer, dropout and negatives, with other rounding and other random draws.
    `second_stage_rate` is a share of the learning rate, of which too much unlearns the first stage.
    `initial_vectors` are those of a full table: random, or factors of co-occurrence counts.
    `category_vectors` gives the items of a category a common vector in the first of two stages; auto = where possible.
    `keeps_start` validates the initial weights as epoch 0, and keeps them unless an epoch is better.
    """

    epochs: int = 200
    max_minutes: float | None = None
    patience: int = 10
    seed: int = 1
    batch_cells: int = 4096
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_norm: float = 1.0
    averaging: float = 0.999
    schedule: Schedule = "plateau"
    plateau: int = 3
    loss: str = "softmax"
    calibration: float = 0.75
    num_negatives: int | None = None
    validation_cases: int = 20_000
    validate_every: int = 1
    fused: bool = False
    second_stage_rate: float = 0.1
    initial_vectors: InitialVectors = "random"
    category_vectors: CategoryVectors = "auto"
    keeps_start: bool = False
    keep_seen: bool = False
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be in [0, 1) (got {self.averaging})")
        if self.schedule not in ("plateau", "linear"):
            raise ValueError(f"schedule must be 'plateau' or 'linear' (got {self.schedule!r})")
        if self.initial_vectors not in ("random", "counts"):
            raise ValueError(f"initial_vectors must be 'random' or 'counts' (got {self.initial_vectors!r})")
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)} (got {self.loss!r})")
        if not 0 <= self.calibration <= 1:
            raise ValueError(f"calibration must be in [0, 1] (got {self.calibration})")
        if self.loss == "gbce" and self.num_negatives is not None and self.num_negatives < 1:
            raise ValueError(f"num_negatives must be 1 or more for the gbce loss (got {self.num_negatives})")
        for name in ("epochs", "patience", "batch_cells", "plateau", "validation_cases", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more (got {getattr(self, name)})")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes must be above 0 (got {self.max_minutes})")

    def compute_rate_factor(self, num_epochs: float, seconds: float) -> float:
        """Factor of the learning rate after so many epochs and seconds; 1 unless the schedule is linear."""
        if self.schedule != "linear":
            return 1.0
        time_share = seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
        remaining_share = 1.0 - max(num_epochs / self.epochs, time_share)
        return min(1.0, max(0.01, remaining_share / DECAY_SHARE))

    def resolve_num_negatives(self, num_items: int) -> int | None:
        """Number of negatives per batch; None for the full softmax.

        gBCE samples at most all other items, where its α, the sampled share of them, is 1.
        """
        if self.loss == "gbce":
            return min(self.num_negatives or GBCE_NEGATIVES, max(1, num_items - 1))
        if self.num_negatives is not None:
            return self.num_negatives or None
        return None if num_items <= FULL_SOFTMAX_ITEMS else 8192

    def to_first_stage(self, reserved_s: float = 0.0) -> "TrainingOptions":
        """Options for the first of two stages, which gets most of the minutes and leaves at least `reserved_s`."""
        if self.max_minutes is None:
            return self
        minutes = min(self.max_minutes * FIRST_STAGE_SHARE, self.max_minutes - reserved_s / 60)
        return dataclasses.replace(self, max_minutes=max(MIN_STAGE_MINUTES, minutes))

    def to_second_stage(self, spent_s: float | None = None) -> "TrainingOptions":
        """Options for the second stage, which starts from trained weights and gets the minutes that remain.

        A few epochs at a low rate that falls to nothing. `spent_s` are the seconds since the start of the first stage,
        by default its share.
        """
        remaining_minutes = self.max_minutes and self.max_minutes * (1 - FIRST_STAGE_SHARE)
        if self.max_minutes is not None and spent_s is not None:
            remaining_minutes = max(MIN_STAGE_MINUTES, self.max_minutes - spent_s / 60)
        return dataclasses.replace(
            self,
            epochs=min(self.epochs, SECOND_STAGE_EPOCHS),
            max_minutes=remaining_minutes,
            learning_rate=self.learning_rate * self.second_stage_rate,
            schedule="linear",
            warmup_steps=min(self.warmup_steps, 20),
            validate_every=1,
            keeps_start=True,
        )


CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.monotonic, "cpu": time.process_time}
"""Clocks of a time limit, in seconds: wall time, or CPU time of this process, which hardly depends on other load."""


def read_clock() -> float:
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where and how a run executes: device, output folder, process ranks, and whether to resume from a checkpoint.

    A time limit counts from `started_at`, a value of `clock`. `planned` are the options that a run with a time limit
    may choose by measurement: names of models/training/choices.py, and "threads".
    """

    device: torch.device
    folder: Path
    ranks: Ranks = SINGLE_PROCESS
    resume: bool = False
    clock: Callable[[], float] = read_clock
    started_at: float = field(default_factory=read_clock)
    planned: frozenset[str] = frozenset()

    def in_subfolder(self, name: str) -> "RunContext":
        return dataclasses.replace(self, folder=self.folder / name)

    def compute_spent_s(self) -> float:
        """Compute the seconds since the start, by the clock of the first rank."""
        return self.ranks.broadcast_object(self.clock() - self.started_at)
