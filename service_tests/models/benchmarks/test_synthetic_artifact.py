"""Synthetic artifacts load, contain the items of their log, and are generated once."""

from pathlib import Path

import numpy as np
import pytest

from models.artifact import load_artifact
from models.benchmarks.synthetic_artifact import make_log_config, make_synthetic_artifact, make_synthetic_catalogue
from models.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_artifact_of_every_preset_loads(preset: str, tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, preset, 120)
    artifact = load_artifact(folder, device="cpu")
    assert artifact.preset == preset
    assert artifact.catalogue.num_items == 120
    top = artifact.predictor.top_k([np.array([3, 1]), np.array([40])], 10)
    if preset != "popular":
        assert not np.array_equal(top.indices[0], top.indices[1]), "results depend on the history"
        assert len(np.unique(top.scores[0])) == 10, "scores differ"


def test_existing_artifact_is_reused(tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, "sasrec", 60)
    before = (folder / "manifest.json").stat()
    assert make_synthetic_artifact(tmp_path, "sasrec", 60) == folder
    now = (folder / "manifest.json").stat()
    assert (now.st_mtime_ns, now.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert make_synthetic_artifact(tmp_path, "sasrec", 60, seed=1) != folder


def test_catalogue_has_all_items_by_descending_popularity() -> None:
    config = make_log_config(300, seed=5)
    catalogue = make_synthetic_catalogue(config)
    numbers = [int(item_id.removeprefix("i")) for item_id in catalogue.item_ids]
    assert sorted(numbers) == list(range(300))
    assert np.all(np.diff(config.weights[numbers]) <= 0)
    assert catalogue.counts[0] > 20 * catalogue.counts[-1]
