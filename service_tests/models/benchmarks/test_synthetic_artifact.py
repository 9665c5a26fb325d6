"""A made artifact is an artifact: it loads, it has the law's items, and it is made once."""

from pathlib import Path

import numpy as np
import pytest

from app.bench.load.traffic import build_read_bodies, generate_events, sample_by_weight
from models.artifact import load_artifact
from models.benchmarks.synthetic_artifact import make_law, make_synthetic_artifact, make_synthetic_catalogue
from models.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_made_and_loads(preset: str, tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, preset, 120)
    artifact = load_artifact(folder, device="cpu")
    assert artifact.preset == preset
    assert artifact.catalogue.num_items == 120
    top = artifact.predictor.top_k([np.array([3, 1]), np.array([40])], 10)
    if preset != "popular":
        assert not np.array_equal(top.indices[0], top.indices[1]), "answers depend on the history"
        assert len(np.unique(top.scores[0])) == 10, "scores differ"


def test_an_artifact_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, "sasrec", 60)
    before = (folder / "manifest.json").stat()
    assert make_synthetic_artifact(tmp_path, "sasrec", 60) == folder
    now = (folder / "manifest.json").stat()
    assert (now.st_mtime_ns, now.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert make_synthetic_artifact(tmp_path, "sasrec", 60, seed=1) != folder


def test_the_catalogue_has_every_item_of_the_law_by_falling_popularity() -> None:
    law = make_law(300, seed=5)
    catalogue = make_synthetic_catalogue(law)
    numbers = [int(item_id.removeprefix("i")) for item_id in catalogue.item_ids]
    assert sorted(numbers) == list(range(300))
    assert np.all(np.diff(law.weights[numbers]) <= 0)
    assert catalogue.counts[0] > 20 * catalogue.counts[-1]


def test_histories_of_the_law_are_of_items_of_its_catalogue_and_those_with_more_ask_more() -> None:
    law = make_law(300, users=200)
    events, catalogue = generate_events(law), make_synthetic_catalogue(law)
    assert set(events["item_id"]) <= set(catalogue.item_ids)
    asked = sample_by_weight(events["user_id"].to_list(), None, 20_000, 0)
    busiest, quietest = (
        events["user_id"].value_counts().sort("count", descending=way)["user_id"][0] for way in (True, False)
    )
    assert asked.count(busiest) > 3 * asked.count(quietest)
    assert len(build_read_bodies(asked, 10)) == 20_000


def test_draws_go_by_weight_and_repeat() -> None:
    found = sample_by_weight(["a", "b", "c"], np.array([0.0, 1.0, 3.0]), 4000, 1)
    assert found == sample_by_weight(["a", "b", "c"], np.array([0.0, 1.0, 3.0]), 4000, 1)
    assert found.count("a") == 0
    assert 2700 < found.count("c") < 3300
