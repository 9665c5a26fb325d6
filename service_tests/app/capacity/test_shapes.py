"""Estimated shapes match the built model, and estimated files match a written artifact."""

import dataclasses
from pathlib import Path

import pytest

from app.capacity.artifact_files import ItemText, estimate_artifact_files
from app.capacity.shapes import compute_shape
from models.artifact import CONFIG, GOLDEN
from models.benchmarks.synthetic_artifact import make_synthetic_artifact
from models.build import build_model
from models.config import Part
from models.manifest import MANIFEST
from models.native.library import load_library
from models.presets import PRESETS, preset

WITHIN = 0.1
SMALL_FILES = {GOLDEN, CONFIG, MANIFEST}


@pytest.mark.parametrize("name", PRESETS)
def test_shape_has_the_tensors_of_the_built_model(name: str) -> None:
    state = build_model(preset(name), 600).state_dict()
    assert compute_shape(preset(name), 600).tensors == {key: value.nbytes for key, value in state.items()}


def test_large_catalogues_are_estimated_without_memory() -> None:
    shape = compute_shape(preset("sasrec"), 100_000_000)
    assert shape.mapped_weights == 4 * 64 * 100_000_001
    assert shape.scorers.extra_bytes == 0, "an int8 table would exceed the limit of a worker"


def test_id_bytes_match_numbered_ids() -> None:
    for count in (9, 10, 11, 1234):
        assert ItemText.from_count(count).id_bytes == pytest.approx(sum(len(f"i{n}") for n in range(count)) / count)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blossom", "sasrec"])
@pytest.mark.parametrize("items", [1000, 50_000])
def test_file_sizes_match_the_estimate(name: str, items: int, tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, name, items)
    estimate = estimate_artifact_files(compute_shape(preset(name), items), ItemText.from_count(items))
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert sizes.keys() == estimate.keys()
    for file in sizes.keys() - SMALL_FILES:
        assert sizes[file] == pytest.approx(estimate[file], rel=WITHIN), file
    assert sum(sizes.values()) == pytest.approx(sum(estimate.values()), rel=WITHIN)


def test_index_is_estimated_where_one_is_supported() -> None:
    for name, item_bytes in (("blossom", 24 + 4 if load_library() else 64 + 8), ("sasrec", 64 + 8)):
        files = estimate_artifact_files(compute_shape(preset(name), 2_000_000), ItemText(8.0), index=True)
        assert files["neighbours.ivf"] == pytest.approx(2_000_000 * item_bytes, rel=0.1)
    with pytest.raises(ValueError, match=r"at least 1,000,000 items \(got 1,000\)"):
        assert compute_shape(preset("blossom"), 1000).index
    with pytest.raises(ValueError, match=r"scores inner products \(cprec does not\)"):
        assert compute_shape(dataclasses.replace(preset("cprec"), head=Part("adaptive")), 2_000_000).index
