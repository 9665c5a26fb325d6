"""Synthetic log in which only events `gap` steps back decide the next item: the case for attention to long histories.

A user has an item of every kind. At first, the user walks among these items: to the next kind of a fixed cycle, or with
JUMPS to any kind. Then follows a walk through filler items in their fixed order, which says nothing about the user. At
the end the user returns to the same items once each, in the order of the cycle, from a random kind on: the last item
determines the next kind, and only the first walk its item. So a model that reads no further back than the last `gap`
events is left with a choice among `choices` items.

The first walk teaches the rule at short distances, which vary because of the jumps. A share of the users has the full
gap. The others have shorter ones, log-uniform with more short ones, because a model without short gaps hardly learns to
bridge a long one. Run as a module, it writes a log: `python -m models.data.distant_log FILE`.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

START_MS = 1_767_225_600_000
STEP_MS = 60_000
MIN_GAP = 8
SHORT_GAPS = 1.5
"""Exponent of the uniform numbers from which shorter gaps follow: more of them are short than log-uniform ones."""
JUMPS = 0.25

Items = NDArray[np.int64]


@dataclass(frozen=True)
class DistantLogConfig:
    """Item k · choices + c is choice c of kind k; the fillers follow after all choices."""

    num_users: int = 600
    gap: int = 1500
    kinds: int = 12
    choices: int = 8
    fillers: int = 60
    walk: int = 72
    full_share: float = 0.2
    seed: int = 0


def generate_distant_log(config: DistantLogConfig) -> pl.DataFrame:
    """Generate `user_id`, `item_id` and `timestamp` (ms); each user's events are contiguous, oldest first.

    The first users have the full gap.
    """
    rng = np.random.default_rng(config.seed)
    num_full = round(config.full_share * config.num_users)
    histories = [generate_history(config, rng, is_full=user < num_full) for user in range(config.num_users)]
    lengths = [len(history) for history in histories]
    return pl.DataFrame(
        {
            "user_id": np.repeat([f"u{user}" for user in range(config.num_users)], lengths),
            "item_id": [f"i{item}" for history in histories for item in history],
            "timestamp": START_MS + STEP_MS * np.concatenate([np.arange(length) for length in lengths]),
        }
    )


def generate_history(config: DistantLogConfig, rng: np.random.Generator, *, is_full: bool) -> Items:
    """Generate `walk` events among the user's items, a gap of fillers, and one event for each kind."""
    items = np.arange(config.kinds) * config.choices + rng.integers(0, config.choices, config.kinds)
    jumps = rng.random(config.walk) < JUMPS
    steps = np.where(jumps, rng.integers(0, config.kinds, config.walk), 1)
    gap = config.gap if is_full else int(MIN_GAP * (config.gap / MIN_GAP) ** (rng.random() ** SHORT_GAPS))
    filler = config.kinds * config.choices + (rng.integers(config.fillers) + np.arange(gap)) % config.fillers
    return np.concatenate((items[steps.cumsum() % config.kinds], filler, np.roll(items, -rng.integers(config.kinds))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="Parquet file to write")
    parser.add_argument("--users", type=int, default=600, help="number of users (600)")
    parser.add_argument("--gap", type=int, default=1500, help="events between the walk and the return (1500)")
    parser.add_argument("--full-share", type=float, default=0.2, help="share of the users with the full gap (0.2)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    arguments = parser.parse_args()
    config = DistantLogConfig(arguments.users, arguments.gap, full_share=arguments.full_share, seed=arguments.seed)
    generate_distant_log(config).write_parquet(arguments.file)


if __name__ == "__main__":
    main()
