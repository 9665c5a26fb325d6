"""Whose recommendations are asked for, and what happens meanwhile: requests after the law of a log.

A user is drawn as often as events of that user are in the log, because who has many is who comes often: session
lengths follow one power law, and items of new events another. Knows the bodies of /recommend and /events.
"""

import json
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.data.synthetic import generate_log
from models.data.synthetic_law import SyntheticLogConfig


def generate_events(law: SyntheticLogConfig) -> pl.DataFrame:
    """The whole log of the law: `user_id`, `item_id`, `timestamp`; users with their events together, oldest first."""
    return pl.concat(generate_log(law))


def sample_by_weight(names: Sequence[str], weights: NDArray[np.float64] | None, count: int, seed: int) -> list[str]:
    """`count` of the names, with replacement, by weight (n,) ≥ 0, or all alike."""
    rng = np.random.default_rng(seed)
    share = None if weights is None else weights / weights.sum()
    return [names[place] for place in rng.choice(len(names), size=count, p=share).tolist()]


def build_read_bodies(users: Sequence[str], k: int) -> tuple[str, ...]:
    return tuple(json.dumps({"user_id": user, "k": k}) for user in users)


def build_write_bodies(users: Sequence[str], items: Sequence[str]) -> tuple[str, ...]:
    """One event each, that happens when it is sent."""
    return tuple(
        json.dumps({"events": [{"user_id": user, "item_id": item}]}) for user, item in zip(users, items, strict=True)
    )
