"""Small artifacts for tests, written by the real writer around an untrained model.

Items are "i1", "i2", … in catalogue order, with titles and the category "even" or "odd"; the first ten are also "low".
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.artifact import save_artifact, write_manifest
from models.build import build_model
from models.catalogue.attributes import AttributeFeatures
from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig
from models.heads.popularity import PopularityHead
from models.manifest import MANIFEST
from models.presets import preset
from models.recommender import SequentialRecommender
from models.training.stages import fit_popularity
from models.transitions.counting import fill_memory


def tiny_catalogue(num_items: int = 60, attributes: AttributeFeatures | None = None) -> Catalogue:
    numbers = range(1, num_items + 1)
    return Catalogue(
        item_ids=[f"i{number}" for number in numbers],
        counts=np.array([1000 // number for number in numbers], dtype=np.int64),
        titles=[f"Item number {number}" for number in numbers],
        categories=[["odd" if number % 2 else "even", *(["low"] if number <= 10 else [])] for number in numbers],
        attributes=attributes,
    )


def tiny_config(name: str = "sasrec", **sizes: int) -> ModelConfig:
    """Preset that is small enough for a forward pass in a millisecond."""
    config = preset(name)
    small = {"dim": min(config.dim, 16), "max_len": min(config.max_len, 40)} | sizes
    return dataclasses.replace(config, **small)  # type: ignore[arg-type]


def tiny_model(config: ModelConfig, catalogue: Catalogue, seed: int = 0) -> SequentialRecommender:
    """Model with wider weights than at the start of training, where all scores are nearly equal."""
    torch.manual_seed(seed)
    model = build_model(config, catalogue.num_items)
    if isinstance(model.head, PopularityHead):
        fit_popularity(model, model.head, catalogue)
        return model
    with torch.no_grad():
        for matrix in (parameter for parameter in model.parameters() if parameter.ndim > 1):
            matrix.normal_(std=0.3)
    return model.eval()


def write_tiny_artifact(
    folder: Path,
    *,
    preset: str = "sasrec",
    num_items: int = 60,
    seed: int = 0,
    attributes: AttributeFeatures | None = None,
) -> Path:
    catalogue = tiny_catalogue(num_items, attributes)
    model = tiny_model(tiny_config(preset), catalogue, seed)
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, size=length) for length in range(1, 33)]
    save_artifact(folder, model, catalogue, golden_histories=histories, metrics={})
    return folder


def record_event_types(folder: Path, record: Any) -> None:
    """Write the entry of the manifest that a training with event types writes."""
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, manifest | {"event_types": record})


def write_neighbours_artifact(folder: Path, *, num_items: int = 60) -> Path:
    """Write an artifact with a transition memory in which each item is followed by the next one."""
    catalogue = tiny_catalogue(num_items)
    model = tiny_model(tiny_config("blossom"), catalogue)
    assert model.transitions is not None
    histories = [np.arange(first, first + 5) for first in range(1, num_items - 4)]
    fill_memory(model.transitions, histories)
    save_artifact(folder, model, catalogue, golden_histories=histories[:32], metrics={})
    return folder
