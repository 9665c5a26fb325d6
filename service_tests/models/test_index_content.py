"""An index with a right digest and wrong content is refused, and golden outputs are asked through the index."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.artifact import ArtifactError, load_artifact
from models.indexing import add_index
from models.native.library import load_library
from models.scorers.ann.ivf import has_faiss
from service_tests.support.artifact_mutations import (
    INDEX,
    MANIFEST,
    change_arrays,
    change_json,
    replace_array,
    replace_file,
    set_cell,
)
from service_tests.support.clustered_artifacts import NUM_ITEMS, write_clustered_artifact

pytestmark = pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'")
needs_native_code = pytest.mark.skipif(load_library() is None, reason="native code is not built")


def write_indexed_artifact(folder: Path, preset: str) -> Path:
    write_clustered_artifact(folder, preset)
    assert add_index(load_artifact(folder, device="cpu"), [np.array([1 + n, 5 + n]) for n in range(20)]) is not None
    return folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("indexed")
    presets = ["sasrec"] if load_library() is None else ["sasrec", "blossom"]
    return {preset: write_indexed_artifact(folder / preset, preset) for preset in presets}


def swap_two_blocks(arrays: dict[str, Any]) -> None:
    arrays["blocks"][[0, 1]] = arrays["blocks"][[1, 0]]


LISTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "item outside": (set_cell("items", 0, NUM_ITEMS + 1), "items holds items from 0 to 601"),
    "negative item": (set_cell("items", 0, -1), "items holds items from -1"),
    "item twice": (lambda arrays: arrays["items"].__setitem__(0, arrays["items"][64]), "other codes|each item once"),
    "missing item": (set_cell("items", 0, 0), "other codes|each item once"),
    "list outside": (set_cell("starts", -1, 10**9), "starts must rise"),
    "lists that decrease": (set_cell("starts", 1, 10**6), "starts must rise"),
    "codes of other items": (swap_two_blocks, "blocks holds other codes"),
    "centre NaN": (set_cell("centres", 3, np.nan), "not finite"),
    "fewer lists": (replace_array("radii", lambda a: a[:-1]), "radii is"),
    "other type": (replace_array("starts", lambda a: a.astype(np.int32)), "starts is"),
    "missing array": (lambda arrays: arrays.pop("blocks"), "blocks"),
}


@needs_native_code
@pytest.mark.parametrize("name", LISTS)
def test_changed_lists_are_refused(name: str, indexed: dict[str, Path], tmp_path: Path) -> None:
    change, message = LISTS[name]
    folder = shutil.copytree(indexed["blossom"], tmp_path / "artifact")
    change_arrays(folder, INDEX, change)
    with pytest.raises(ArtifactError, match=message):
        load_artifact(folder, device="cpu")


@pytest.mark.parametrize("preset", ["sasrec", pytest.param("blossom", marks=needs_native_code)])
@pytest.mark.parametrize(
    ("key", "value"),
    [("probes", 10**9), ("probes", 0), ("probes", -1), ("probes", "all"), ("recall@10", 7.0), ("recall@10", "high")],
)
def test_changed_numbers_of_an_index_are_refused(
    preset: str, key: str, value: Any, indexed: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(indexed[preset], tmp_path / "artifact")
    change_json(folder, MANIFEST, lambda manifest: manifest["index"].update({key: value}))
    with pytest.raises(ArtifactError, match=INDEX):
        load_artifact(folder, device="cpu")


def test_faiss_index_of_another_model_and_one_that_is_cut_are_refused(indexed: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(indexed["sasrec"], tmp_path / "artifact")
    content = (folder / INDEX).read_bytes()
    outside = np.array([NUM_ITEMS - 1], dtype="<i8").tobytes()
    assert content.count(outside) == 1, "the id of an item, in its list"
    for changed, message in (
        (content.replace(outside, np.array([2**40], dtype="<i8").tobytes()), "outside the catalogue"),
        (content.replace(outside, np.array([-1], dtype="<i8").tobytes()), "outside the catalogue"),
        (content.replace(outside, np.array([1], dtype="<i8").tobytes()), "each item once"),
        (content[: len(content) // 2], INDEX),
        (b"", INDEX),
    ):
        replace_file(folder, INDEX, changed)
        with pytest.raises(ArtifactError, match=message):
            load_artifact(folder, device="cpu")


@needs_native_code
def test_golden_outputs_are_asked_through_the_index(indexed: dict[str, Path], tmp_path: Path) -> None:
    """With inverted centres, the index reads the lists whose items score lowest."""
    folder = shutil.copytree(indexed["blossom"], tmp_path / "artifact")
    change_arrays(folder, INDEX, lambda arrays: arrays.update(centres=-arrays["centres"], radii=0 * arrays["radii"]))
    change_json(folder, MANIFEST, lambda manifest: manifest["index"].update(probes=1))
    with pytest.raises(ArtifactError, match=f"golden outputs do not match with {INDEX}"):
        load_artifact(folder, device="cpu")
