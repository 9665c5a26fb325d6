"""Room for checkpoints and the artifact, compared with the free space before anything is trained."""

import dataclasses
import shutil
from pathlib import Path

from models.build import build_uninitialized_model, complete_config
from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig, Part

CHECKPOINT_COPIES = 5
"""Weights, their running average, the best ones, and two moments of the optimizer."""
MARGIN_BYTES = 20_000_000
"""Reports, plots and file systems that count in blocks."""


def check_disk_space(folder: Path, config: ModelConfig, catalogue: Catalogue) -> None:
    """ValueError if the folder's file system has too little room for a run with this configuration."""
    needed_bytes = estimate_run_bytes(config, catalogue)
    free_bytes = shutil.disk_usage(find_existing_parent(folder)).free
    if free_bytes < needed_bytes:
        raise ValueError(
            f"{folder} needs about {needed_bytes / 1e6:,.0f} MB for checkpoints and the artifact, and its disk has "
            f"{free_bytes / 1e6:,.0f} MB left; free some space, or choose another folder"
        )


def estimate_run_bytes(config: ModelConfig, catalogue: Catalogue) -> int:
    """Bytes of the largest checkpoint while it replaces the last one, and of the artifact."""
    complete = complete_config(config, catalogue)
    model = build_uninitialized_model(complete, catalogue.num_items)
    largest = weights = _count_bytes(complete, catalogue.num_items)
    if model.embedding.starts_from_full_table:
        first_stage = dataclasses.replace(complete, embedding=Part("full"))
        largest = max(largest, _count_bytes(first_stage, catalogue.num_items))
    return 2 * CHECKPOINT_COPIES * largest + 2 * weights + 2 * catalogue.nbytes + MARGIN_BYTES


def find_existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest folder above it that exists."""
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())


def _count_bytes(config: ModelConfig, num_items: int) -> int:
    return sum(weights.nbytes for weights in build_uninitialized_model(config, num_items).state_dict().values())
