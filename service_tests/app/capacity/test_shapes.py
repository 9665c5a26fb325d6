"""Shapes are those of the model that would be built, and files those that would be written."""

from pathlib import Path

import pytest

from app.capacity.artifact_files import ItemText, artifact_files
from app.capacity.shapes import compute_shape
from models.artifact import CONFIG, GOLDEN, MANIFEST
from models.benchmarks.synthetic_artifact import make_synthetic_artifact
from models.build import build_model
from models.native.library import library
from models.presets import PRESETS, preset

WITHIN = 0.1
SMALL = {GOLDEN, CONFIG, MANIFEST}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_tensors_that_it_is_built_with(name: str) -> None:
    built = build_model(preset(name), 1000).state_dict()
    assert compute_shape(preset(name), 1000).tensors == {key: value.nbytes for key, value in built.items()}


def test_a_hundred_million_items_need_no_memory_to_be_planned() -> None:
    shape = compute_shape(preset("sasrec"), 100_000_000)
    assert shape.mapped_weights == 4 * 64 * 100_000_001
    assert shape.scorers.extra_bytes == 0, "a table of integers would be larger than a worker may keep"


def test_ids_are_as_long_as_their_numbers() -> None:
    for count in (9, 10, 11, 1234):
        assert ItemText.from_count(count).id_bytes == pytest.approx(sum(len(f"i{n}") for n in range(count)) / count)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blossom", "sasrec"])
@pytest.mark.parametrize("items", [1000, 50_000])
def test_files_are_as_large_as_planned(name: str, items: int, tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, name, items)
    planned = artifact_files(compute_shape(preset(name), items), ItemText.from_count(items))
    found = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert found.keys() == planned.keys()
    for file in found.keys() - SMALL:
        assert found[file] == pytest.approx(planned[file], rel=WITHIN), file
    assert sum(found.values()) == pytest.approx(sum(planned.values()), rel=WITHIN)


def test_an_index_is_planned_where_one_is_made() -> None:
    for name, of_an_item in (("blossom", 24 + 4 if library() else 64 + 8), ("sasrec", 64 + 8)):
        files = artifact_files(compute_shape(preset(name), 2_000_000), ItemText(8.0), index=True)
        assert files["neighbours.ivf"] == pytest.approx(2_000_000 * of_an_item, rel=0.1)
    with pytest.raises(ValueError, match="from 1,000,000 items on, not for 1,000"):
        assert compute_shape(preset("blossom"), 1000).index
    with pytest.raises(ValueError, match="cprec scores no inner products"):
        assert compute_shape(preset("cprec"), 2_000_000).index
