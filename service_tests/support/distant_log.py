"""Synthetic log in which only events `gap` steps back decide the next item: the case for attention to long histories.

A user first chooses an item of every kind, in a random order. Then follows a walk through filler items in their fixed
order, which says nothing about the user. At the end the user returns to the chosen items, kind by kind in a fixed
cyclic order from a random start: the last item determines the next kind, and only the first events its item. Half of
the users have the full gap. The other half have shorter ones, log-uniform, because a model without short gaps hardly
learns to bridge a long one. Run as a module, it writes a log: `python -m service_tests.support.distant_log FILE`.
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

Items = NDArray[np.int64]


@dataclass(frozen=True)
class DistantLogConfig:
    """Items 0 to kinds · choices − 1 are choices, item k · choices + c being choice c of kind k; then the fillers."""

    num_users: int = 600
    gap: int = 1500
    kinds: int = 24
    choices: int = 8
    fillers: int = 60
    seed: int = 0


def generate_distant_log(config: DistantLogConfig) -> pl.DataFrame:
    """Generate `user_id`, `item_id` and `timestamp` (ms); each user's events are contiguous, oldest first.

    Users with even numbers have the full gap.
    """
    rng = np.random.default_rng(config.seed)
    histories = [generate_history(config, rng, is_full=user % 2 == 0) for user in range(config.num_users)]
    lengths = [len(history) for history in histories]
    return pl.DataFrame(
        {
            "user_id": np.repeat([f"u{user}" for user in range(config.num_users)], lengths),
            "item_id": [f"i{item}" for history in histories for item in history],
            "timestamp": START_MS + STEP_MS * np.concatenate([np.arange(length) for length in lengths]),
        }
    )


def generate_history(config: DistantLogConfig, rng: np.random.Generator, *, is_full: bool) -> Items:
    items = np.arange(config.kinds) * config.choices + rng.integers(0, config.choices, config.kinds)
    gap = config.gap if is_full else int(MIN_GAP * (config.gap / MIN_GAP) ** rng.random())
    filler = config.kinds * config.choices + (rng.integers(config.fillers) + np.arange(gap)) % config.fillers
    return np.concatenate((rng.permutation(items), filler, np.roll(items, -rng.integers(config.kinds))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="Parquet file to write")
    parser.add_argument("--users", type=int, default=600, help="number of users (600)")
    parser.add_argument("--gap", type=int, default=1500, help="events between the choices and the return (1500)")
    arguments = parser.parse_args()
    generate_distant_log(DistantLogConfig(arguments.users, arguments.gap)).write_parquet(arguments.file)


if __name__ == "__main__":
    main()
