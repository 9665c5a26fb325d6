"""Model sizes suggested by a log, with reasons: the defaults of `nextup train`.

Rules of thumb from the runs in models/LOG.md. They use the training part only.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from models.batch import History
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.training.options import TrainingOptions

MAX_LEN_STEP = 50
"""`max_len` is a multiple of this."""
DROPOUT = ((50.0, 0.2), (15.0, 0.3), (0.0, 0.5))
"""Dropout by the least mean events per user: the less data, the sooner a model overfits."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Suggested sizes: `sizes` are ModelConfig fields, `reasons` are lines for these, then for other choices."""

    sizes: dict[str, Any]
    reasons: list[str]

    def apply_to(self, config: ModelConfig) -> ModelConfig:
        """Set the suggested sizes; a popularity model has none."""
        return config if config.encoder.name == "none" else dataclasses.replace(config, **self.sizes)

    def list_reasons(self, config: ModelConfig) -> list[str]:
        """List the reasons without those of sizes that `config` does not take."""
        is_taken = [getattr(config, name) == size for name, size in self.sizes.items()]
        return [*compress(self.reasons, is_taken), *self.reasons[len(is_taken) :]]


def advise(dataset: Dataset, options: TrainingOptions, max_len_limit: int) -> Advice:
    """Suggest sizes for a dataset; `max_len_limit` is the preset's `max_len`, for datasets with histories that long."""
    histories = select_training_histories(dataset)
    lengths = np.array([len(history) for history in histories])
    p99_length, mean = float(np.percentile(lengths, 99)), float(lengths.mean())
    max_len = min(max_len_limit, MAX_LEN_STEP * max(1, int(np.ceil(p99_length / MAX_LEN_STEP))))
    dropout = next(rate for least, rate in DROPOUT if mean >= least)
    items = dataset.catalogue.num_items
    negatives = options.resolve_num_negatives(items)
    repeat_share = compute_repeat_share(histories)
    loss = "full softmax" if negatives is None else f"{negatives:,} negatives per batch"
    seen_filter = "with" if options.keep_seen else "without"
    return Advice(
        {"max_len": max_len, "dropout": dropout},
        [
            f"max_len {max_len}: 99 % of users have at most {p99_length:,.0f} training events",
            f"dropout {dropout}: users have {mean:,.1f} training events on average",
            *([] if options.max_minutes else [f"loss: {loss}, {items:,} items"]),  # a limited run prints its plan
            f"evaluation {seen_filter} seen items: {repeat_share:.0%} of events are repeats (--keep-seen)",
        ],
    )


def compute_repeat_share(histories: Sequence[History]) -> float:
    """Share of events, 0 to 1, whose item occurs earlier in the same user's history."""
    different = sum(len(np.unique(history)) for history in histories)
    return 1 - different / max(1, sum(len(history) for history in histories))
