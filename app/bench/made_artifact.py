"""Artifacts of any size without training, for benchmarks: a catalogue after the law of real logs, weights at random.

What serving costs does not depend on what a model has learnt. What it recommends is nonsense, and says so in its
manifest: the figures are empty. Ten million items take under 3 GB to make; an artifact that is there is used again.
"""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from models.artifact import MANIFEST, save_artifact
from models.build import build_model, sized_config
from models.catalogue import Catalogue
from models.category_sets import CategorySets
from models.config import ModelConfig
from models.data.synthetic_law import SyntheticLaw
from models.embeddings.codes import CodesEmbedding
from models.golden import HISTORIES
from models.heads.popularity import PopularityHead
from models.presets import preset
from models.recommender import SequentialRecommender
from models.texts import Texts

USERS = 20_000
LONGEST = 1_000
EVENTS_PER_ITEM = 20
"""In the catalogue's counts, on average."""
GOLDEN_LENGTH = 20


def law_of(num_items: int, *, users: int = USERS, seed: int = 0) -> SyntheticLaw:
    """The log whose items and users a rung has: lengths of histories and popularity of items follow power laws."""
    return SyntheticLaw(num_users=users, num_items=num_items, max_length=LONGEST, memory=0, seed=seed)


def made_artifact(out: Path, preset_name: str, num_items: int, *, seed: int = 0) -> Path:
    """The folder below `out`; ValueError for an unknown preset or too few items."""
    config = preset(preset_name)
    folder = out / f"{preset_name}-{num_items}-{seed}"
    if (folder / MANIFEST).is_file():
        return folder
    catalogue = made_catalogue(law_of(num_items, seed=seed))
    model = made_model(config, catalogue, seed)
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, size=GOLDEN_LENGTH) for _ in range(HISTORIES)]
    save_artifact(folder, model, catalogue, golden_histories=histories, figures={})
    return folder


def made_catalogue(law: SyntheticLaw) -> Catalogue:
    """The items of the law, most popular first, without titles and categories."""
    weights = law.weights
    order = np.argsort(-weights, kind="stable")
    counts = (weights[order] * (EVENTS_PER_ITEM * law.num_items / weights.sum())).astype(np.int64)
    ids = "i" + pl.Series(order).cast(pl.String)
    ends = np.cumsum(ids.str.len_bytes().to_numpy().astype(np.int64))
    text = np.frombuffer(ids.str.join("")[0].encode(), dtype=np.uint8)
    return Catalogue(
        Texts(text, ends),
        counts,
        Texts(np.empty(0, dtype=np.uint8), np.zeros(law.num_items, dtype=np.int64)),
        CategorySets.none(law.num_items),
        untitled=np.ones(law.num_items, dtype=np.bool_),
    )


@torch.no_grad()
def made_model(config: ModelConfig, catalogue: Catalogue, seed: int) -> SequentialRecommender:
    """The preset at its usual sizes; weights so wide that scores differ, and codes that share nothing."""
    torch.manual_seed(seed)
    model = build_model(sized_config(config, catalogue), catalogue.num_items)
    for matrix in (parameter for parameter in model.parameters() if parameter.ndim > 1):
        matrix.normal_(std=config.dim**-0.5)
    if isinstance(embedding := model.embedding, CodesEmbedding):
        embedding.kept[1:].random_(0, 256 if embedding.is_packed else embedding.codebook)
    if isinstance(head := model.head, PopularityHead):
        head.counts[1:] = torch.from_numpy(catalogue.counts)
    return model.eval()
