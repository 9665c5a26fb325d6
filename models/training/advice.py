"""Sizes that a log suggests, each with its reason: what `nextup train` picks where nothing was said.

Rules of thumb from the runs in models/LOG.md, not laws. They look at the training part only.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.batch import History
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.training.options import TrainingOptions

STEP = 50
"""`max_len` is a multiple of this."""
DROPOUT = ((50.0, 0.2), (15.0, 0.3), (0.0, 0.5))
"""From how many events of a mean user on which dropout: the fewer a model sees, the sooner it knows them by heart."""


@dataclass(frozen=True, slots=True)
class Advice:
    """`sizes` are fields of a ModelConfig; `reasons` are sentences for people."""

    sizes: dict[str, Any]
    reasons: list[str]

    def apply_to(self, config: ModelConfig) -> ModelConfig:
        """A popularity model has no sizes to choose."""
        return config if config.encoder.name == "none" else dataclasses.replace(config, **self.sizes)


def advise(dataset: Dataset, options: TrainingOptions, longest: int) -> Advice:
    """`longest` is the preset's `max_len`: what a model may look at, if histories are that long."""
    histories = select_training_histories(dataset)
    lengths = np.array([len(history) for history in histories])
    nearly_all, mean = float(np.percentile(lengths, 99)), float(lengths.mean())
    max_len = min(longest, STEP * max(1, int(np.ceil(nearly_all / STEP))))
    dropout = next(rate for least, rate in DROPOUT if mean >= least)
    items = dataset.catalogue.num_items
    negatives = options.resolve_num_negatives(items)
    loss = "every item competes" if negatives is None else f"{negatives:,} negatives per batch"
    judged = "with" if options.keep_seen else "without"
    return Advice(
        {"max_len": max_len, "dropout": dropout},
        [
            f"max_len {max_len}: 99 % of users have at most {nearly_all:,.0f} events to learn from",
            f"dropout {dropout}: a user has {mean:,.1f} of them in the mean",
            f"loss: {loss}, {items:,} items",
            f"judged {judged} the items a user had: {compute_repeat_share(histories):.0%} of events repeat one (--keep-seen)",
        ],
    )


def compute_repeat_share(histories: Sequence[History]) -> float:
    """Which part of all events is of an item that the same user had before, 0 to 1."""
    different = sum(len(np.unique(history)) for history in histories)
    return 1 - different / max(1, sum(len(history) for history in histories))
