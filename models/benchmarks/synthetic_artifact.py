"""Artifacts of any size without training, for benchmarks: a catalogue after the law of real logs, made-up weights.

The weights are those of `synthetic_model.py`. What such a model recommends is nonsense, and says so in its
manifest: the figures are empty. Ten million items take under 3 GB to make; an artifact that is there is used again.
"""

from pathlib import Path

import numpy as np
import polars as pl

from models.artifact import MANIFEST, save_artifact
from models.benchmarks.synthetic_model import make_synthetic_model
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.string_array import StringArray
from models.data.synthetic_law import SyntheticLogConfig
from models.golden import NUM_GOLDEN_HISTORIES
from models.presets import preset

USERS = 20_000
LONGEST = 1_000
EVENTS_PER_ITEM = 20
"""In the catalogue's counts, on average."""
GOLDEN_LENGTH = 20
GENERATOR_VERSION = 3
"""Part of a folder's name: one more where something else is made, so that an older artifact is not used for it."""


def make_law(num_items: int, *, users: int = USERS, seed: int = 0) -> SyntheticLogConfig:
    """The log whose items and users a rung has: lengths of histories and popularity of items follow power laws."""
    return SyntheticLogConfig(num_users=users, num_items=num_items, max_length=LONGEST, memory=0, seed=seed)


def make_synthetic_artifact(out: Path, preset_name: str, num_items: int, *, seed: int = 0) -> Path:
    """The folder below `out`; ValueError for an unknown preset or too few items."""
    config = preset(preset_name)
    folder = out / f"{preset_name}-{num_items}-{seed}-made{GENERATOR_VERSION}"
    if (folder / MANIFEST).is_file():
        return folder
    catalogue = make_synthetic_catalogue(make_law(num_items, seed=seed))
    model = make_synthetic_model(config, catalogue, seed)
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, size=GOLDEN_LENGTH) for _ in range(NUM_GOLDEN_HISTORIES)]
    save_artifact(folder, model, catalogue, golden_histories=histories, metrics={})
    return folder


def make_synthetic_catalogue(law: SyntheticLogConfig) -> Catalogue:
    """The items of the law, most popular first, without titles and categories."""
    weights = law.weights
    order = np.argsort(-weights, kind="stable")
    counts = (weights[order] * (EVENTS_PER_ITEM * law.num_items / weights.sum())).astype(np.int64)
    ids = "i" + pl.Series(order).cast(pl.String)
    ends = np.cumsum(ids.str.len_bytes().to_numpy().astype(np.int64))
    text = np.frombuffer(ids.str.join("")[0].encode(), dtype=np.uint8)
    return Catalogue(
        StringArray(text, ends),
        counts,
        StringArray(np.empty(0, dtype=np.uint8), np.zeros(law.num_items, dtype=np.int64)),
        CategoryIndex.empty(law.num_items),
        untitled=np.ones(law.num_items, dtype=np.bool_),
    )
