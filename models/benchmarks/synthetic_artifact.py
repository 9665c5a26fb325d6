"""Untrained artifacts of any size for benchmarks, with a power-law catalogue, matching events and an ANN index.

Weights come from `synthetic_model.py`. Recommendations of such a model are meaningless, and its manifest has no
metrics. Ten million items take under 3 GB to generate; an existing artifact is reused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.artifact import INDEX, load_artifact, save_artifact
from models.benchmarks.synthetic_model import make_synthetic_model
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.string_array import StringArray
from models.data.dataset import encode
from models.data.synthetic import SyntheticLogConfig, generate_log
from models.golden import NUM_GOLDEN_HISTORIES
from models.indexing import add_index
from models.manifest import MANIFEST
from models.presets import preset

USERS = 20_000
MAX_LENGTH = 1_000
EVENTS_PER_ITEM = 20
"""Mean of the catalogue's event counts."""
GOLDEN_LENGTH = 20
GENERATOR_VERSION = 3
"""Part of the folder's name; increase it when the generated content changes, so that older artifacts are not reused."""
INDEX_QUERIES = 500


def make_log_config(num_items: int, *, users: int = USERS, seed: int = 0) -> SyntheticLogConfig:
    """Configure a log whose history lengths and item popularity follow power laws."""
    return SyntheticLogConfig(num_users=users, num_items=num_items, max_length=MAX_LENGTH, memory=0, seed=seed)


def generate_events(config: SyntheticLogConfig) -> pl.DataFrame:
    """Generate the whole log: `user_id`, `item_id`, `timestamp`, grouped by user, oldest first."""
    return pl.concat(generate_log(config))


def make_synthetic_artifact(out: Path, preset_name: str, num_items: int, *, seed: int = 0) -> Path:
    """Return the artifact's folder below `out`; ValueError for an unknown preset or too few items."""
    config = preset(preset_name)
    folder = out / f"{preset_name}-{num_items}-{seed}-made{GENERATOR_VERSION}"
    if (folder / MANIFEST).is_file():
        return folder
    catalogue = make_synthetic_catalogue(make_log_config(num_items, seed=seed))
    model = make_synthetic_model(config, catalogue, seed)
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, size=GOLDEN_LENGTH) for _ in range(NUM_GOLDEN_HISTORIES)]
    save_artifact(folder, model, catalogue, golden_histories=histories, metrics={})
    return folder


def make_synthetic_index(folder: Path, events: pl.DataFrame, *, queries: int = INDEX_QUERIES) -> dict[str, Any] | None:
    """Return the description of the artifact's index, building it first if missing; None if none is worthwhile.

    Recall is calibrated on histories of `events`: `user_id`, `item_id` and `timestamp` of items of its catalogue.
    """
    manifest = json.loads((folder / MANIFEST).read_text())
    if INDEX in manifest["files"]:
        return dict(manifest["index"])
    artifact = load_artifact(folder, device="cpu")
    dataset = encode(events, artifact.catalogue)
    users = np.linspace(0, dataset.num_users - 1, min(queries, dataset.num_users)).astype(int)
    return add_index(artifact, [dataset.history(user) for user in users])


def make_synthetic_catalogue(config: SyntheticLogConfig) -> Catalogue:
    """Build a catalogue of all items, most popular first, without titles and categories."""
    weights = config.weights
    order = np.argsort(-weights, kind="stable")
    counts = (weights[order] * (EVENTS_PER_ITEM * config.num_items / weights.sum())).astype(np.int64)
    ids = "i" + pl.Series(order).cast(pl.String)
    ends = np.cumsum(ids.str.len_bytes().to_numpy().astype(np.int64))
    text = np.frombuffer(ids.str.join("")[0].encode(), dtype=np.uint8)
    return Catalogue(
        StringArray(text, ends),
        counts,
        StringArray(np.empty(0, dtype=np.uint8), np.zeros(config.num_items, dtype=np.int64)),
        CategoryIndex.empty(config.num_items),
        untitled=np.ones(config.num_items, dtype=np.bool_),
    )
