"""Artifacts whose items form clusters, so that an approximate index is worthwhile."""

from pathlib import Path

import numpy as np
import torch

from models.artifact import save_artifact
from models.embeddings.codes import CodesEmbedding
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

NUM_ITEMS = 600


def write_clustered_artifact(folder: Path, preset: str) -> Path:
    """Place items around twenty centroids."""
    catalogue = tiny_catalogue(NUM_ITEMS)
    model = tiny_model(tiny_config(preset), catalogue)
    rng = np.random.default_rng(0)
    centroids = rng.normal(size=(20, model.config.dim)).astype(np.float32)
    around = torch.from_numpy(centroids[rng.integers(0, 20, NUM_ITEMS)])
    with torch.no_grad():
        table = model.embedding.table()
        if isinstance(model.embedding, CodesEmbedding):
            model.embedding.approximate(torch.nn.functional.pad(0.1 * table[1:] + around, (0, 0, 1, 0)), catalogue)
        else:
            table[1:] = 0.1 * table[1:] + around
    histories = [np.array([1 + n, 2 + n]) for n in range(8)]
    save_artifact(folder, model, catalogue, golden_histories=histories, metrics={})
    return folder
