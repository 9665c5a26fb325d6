"""The requests of `nextup bench serve`: whose recommendations are asked for, and which events come among them."""

import argparse
import asyncio
from pathlib import Path

import numpy as np
import polars as pl

from app.bench.load.profile import LoadProfile
from app.bench.load.traffic import build_read_bodies, build_write_bodies, sample_by_weight
from app.bench.processes import LOOPBACK
from app.bench.serve.histories import read_history_lengths
from app.settings import Settings
from models.catalogue.open import TABLE

BODIES = 20_000
WARM_UP_S = 1.0
TIMEOUT_S = 10.0


def build_profile(arguments: argparse.Namespace, settings: Settings, url: str, users: list[str]) -> LoadProfile:
    """One round, but for where it goes.

    In a closed loop all users ask alike; at a rate, who has many events asks often. Written items are drawn as often as
    they are in the log that the model was trained on.
    """
    weights = None if arguments.rate is None else asyncio.run(read_history_lengths(url, settings, users))
    asking = sample_by_weight(users, weights, BODIES, arguments.seed)
    round_s = arguments.seconds / arguments.rounds
    return LoadProfile(
        host=LOOPBACK,
        port=0,
        path="",
        bodies=build_read_bodies(asking, arguments.k),
        connections=arguments.connections,
        warm_up_s=min(WARM_UP_S, round_s),
        seconds=round_s,
        timeout_s=TIMEOUT_S,
        rate=arguments.rate,
        events=_events(settings.artifact, asking, arguments.seed) if arguments.writes else (),
        write_share=arguments.writes,
        seed=arguments.seed,
    )


def _events(artifact: Path, users: list[str], seed: int) -> tuple[str, ...]:
    if not (artifact / TABLE).is_file():
        raise ValueError(f"--writes: {artifact} has no catalogue to draw items from")
    rows = pl.read_parquet(artifact / TABLE, columns=["item_id", "count"])
    counts = np.maximum(1.0, rows["count"].to_numpy().astype(np.float64))
    items = sample_by_weight(rows["item_id"].to_list(), counts, len(users), seed)
    return build_write_bodies(users, items)
