"""The index of a made artifact: built once, judged by histories of the log that the artifact's law gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.artifact import INDEX, MANIFEST, load_artifact
from models.data.dataset import encode
from models.indexing import add_index

QUERIES = 500


def make_synthetic_index(folder: Path, events: pl.DataFrame, *, queries: int = QUERIES) -> dict[str, Any] | None:
    """What is told of the index that the artifact has or now gets; None if none is worth having.

    `events`: `user_id`, `item_id` and `timestamp` of items of its catalogue.
    """
    manifest = json.loads((folder / MANIFEST).read_text())
    if INDEX in manifest["files"]:
        return dict(manifest["index"])
    artifact = load_artifact(folder, device="cpu")
    dataset = encode(events, artifact.catalogue)
    users = np.linspace(0, dataset.num_users - 1, min(queries, dataset.num_users)).astype(int)
    return add_index(artifact, [dataset.history(user) for user in users])
