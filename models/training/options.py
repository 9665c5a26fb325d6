"""What a training run can be told, with the defaults that the presets were tuned with (models/LOG.md)."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

FULL_SOFTMAX_ITEMS = 50_000
"""Up to here every item competes in the loss; above, only sampled negatives (models/LOG.md has the times)."""

GBCE_NEGATIVES = 256
"""k of the published gSASRec (arXiv 2308.07192)."""

LOSSES = ("softmax", "gbce")

FIRST_STAGE = 0.7
FALLING_PART = 0.4
"""Of a linear schedule: over this last part of a run the rate falls."""

Schedule = Literal["plateau", "linear"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """`batch_cells` is the padded size of a batch, users × positions; `patience` counts epochs without a better one.

    `schedule` says what the learning rate does: "plateau" halves it after each `plateau` epochs without a better one,
    for runs whose end nobody knows; "linear" keeps it, and lets it fall to nothing over the last part of the epochs
    or minutes, for runs that are to make the best of a budget. `averaging` is the share of the weights' running
    average that each step keeps; 0 means the weights themselves.
    `keep_seen` judges by answers that may repeat what the user had, for logs where people come back to items.
    `loss` is a name in LOSSES; `calibration` is the t of gBCE and nothing to the softmax.
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
    keep_seen: bool = False
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be in [0, 1), not {self.averaging}")
        if self.schedule not in ("plateau", "linear"):
            raise ValueError(f"schedule must be 'plateau' or 'linear', not {self.schedule!r}")
        if self.loss not in LOSSES:
            raise ValueError(f"no loss is called {self.loss!r}; there are {', '.join(LOSSES)}")
        if not 0 <= self.calibration <= 1:
            raise ValueError(f"calibration must be in [0, 1], not {self.calibration}")
        if self.loss == "gbce" and self.num_negatives is not None and self.num_negatives < 1:
            raise ValueError(f"num_negatives must be 1 or more for the gbce loss, not {self.num_negatives}")
        for name in ("epochs", "patience", "batch_cells", "plateau", "validation_cases"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes must be above 0, not {self.max_minutes}")

    def compute_rate_factor(self, epochs_done: float, seconds: float) -> float:
        """What a linear schedule leaves of the learning rate after so many epochs and seconds; 1 for any other."""
        if self.schedule != "linear":
            return 1.0
        minutes_done = seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
        left = 1.0 - max(epochs_done / self.epochs, minutes_done)
        return min(1.0, max(0.01, left / FALLING_PART))

    def resolve_num_negatives(self, num_items: int) -> int | None:
        """None for the full softmax, else how many negatives a batch draws.

        gBCE draws no more than there are other items: there its α, the share of them that is drawn, is 1.
        """
        if self.loss == "gbce":
            return min(self.num_negatives or GBCE_NEGATIVES, max(1, num_items - 1))
        if self.num_negatives is not None:
            return self.num_negatives or None
        return None if num_items <= FULL_SOFTMAX_ITEMS else 8192

    def to_first_stage(self) -> "TrainingOptions":
        """Of a training in two stages: most of the minutes."""
        return dataclasses.replace(self, max_minutes=self.max_minutes and self.max_minutes * FIRST_STAGE)

    def to_second_stage(self) -> "TrainingOptions":
        """Weights are near their place already: half the rate, less patience, a quarter of a schedule's epochs."""
        scheduled = max(1, self.epochs // 4)
        return dataclasses.replace(
            self,
            epochs=scheduled if self.schedule == "linear" else self.epochs,
            max_minutes=self.max_minutes and self.max_minutes * (1 - FIRST_STAGE),
            learning_rate=self.learning_rate / 2,
            warmup_steps=min(self.warmup_steps, 20),
            patience=min(self.patience, 5),
            plateau=min(self.plateau, 2),
        )
