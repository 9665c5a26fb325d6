"""An artifact is served only if it is, byte for byte and answer for answer, what was written."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.artifact import ArtifactError, load_artifact
from models.build import build_uninitialized_model
from models.native.library import library
from models.predictor import Predictor
from models.presets import PRESETS
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model, write_tiny_artifact

PARTS = ["config.json", "model.safetensors", "catalogue.parquet", "catalogue.safetensors", "golden.json"]


@pytest.mark.parametrize("preset", ["blossom", "sasrec", "blossomrec", "cprec", "lsan", "popular"])
def test_what_was_written_is_what_is_loaded(preset: str, tmp_path: Path) -> None:
    written = write_tiny_artifact(tmp_path / "artifact", preset=preset)
    artifact = load_artifact(written, device="cpu")
    expected = tiny_catalogue()
    assert artifact.catalogue.item_ids == expected.item_ids
    assert artifact.catalogue.titles == expected.titles
    assert artifact.catalogue.categories == expected.categories
    assert artifact.catalogue.counts.tolist() == expected.counts.tolist()
    assert artifact.preset == preset
    golden = json.loads((written / "golden.json").read_text())
    assert len(golden["histories"]) == 32
    top = artifact.predictor.top_k([np.array(history) for history in golden["histories"]], 10)
    assert top.indices.tolist() == golden["items"]


def test_a_load_chooses_how_to_score(tmp_path: Path) -> None:
    native = "codes" if library() is None else "native blocks"
    for preset, allowed, scorer in (("sasrec", True, "plain"), ("blossom", True, native), ("blossom", False, "codes")):
        folder = write_tiny_artifact(tmp_path / preset, preset=preset)
        predictor = load_artifact(folder, device="cpu", native=allowed).predictor
        assert predictor.scoring["small"] == predictor.scoring["large"]
        assert predictor.scoring["small"]["name"] == scorer  # type: ignore[index]


@pytest.mark.parametrize("name", PARTS)
def test_a_changed_byte_refuses_the_artifact(name: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is not the file that was written"):
        load_artifact(folder, device="cpu")


@pytest.mark.parametrize("name", [*PARTS, "manifest.json"])
def test_a_missing_file_refuses_the_artifact(name: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_artifact(folder, device="cpu")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "files": 3}', "{\x00"])
def test_a_manifest_that_cannot_be_read_refuses_the_artifact(content: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match="manifest"):
        load_artifact(folder, device="cpu")


def test_a_later_format_is_told(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    change_manifest(folder, format=2)
    with pytest.raises(ArtifactError, match="format 2, this nextup reads format 1"):
        load_artifact(folder, device="cpu")


def test_weights_that_answer_otherwise_are_refused_even_with_a_right_hash(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.norm.weight"] = weights["encoder.norm.weight"] * 1.2
    save_file(weights, folder / "model.safetensors")
    sign_again(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match="does not answer as when it was written"):
        load_artifact(folder, device="cpu")


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "a")
    other = write_tiny_artifact(tmp_path / "b", num_items=70)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    sign_again(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match="do not make a model"):
        load_artifact(folder, device="cpu")


def test_writing_again_gives_another_version_and_no_half_artifact(tmp_path: Path) -> None:
    first = load_artifact(write_tiny_artifact(tmp_path), device="cpu")
    second = load_artifact(write_tiny_artifact(tmp_path, seed=1), device="cpu")
    assert first.version != second.version
    assert not list(tmp_path.glob("*.partial"))


def test_an_artifact_from_before_the_catalogue_lay_in_arrays_still_serves(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    (folder / "catalogue.safetensors").unlink()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    del files["catalogue.safetensors"]
    change_manifest(folder, files=files)
    loaded = load_artifact(folder, device="cpu").catalogue
    assert loaded.item_ids == tiny_catalogue().item_ids
    assert loaded.find_index("i7") == 7


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_large_table_is_mapped_and_outlives_the_artifact_that_replaces_it(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path, num_items=20_000)
    artifact = load_artifact(folder, device="cpu")
    assert str(folder / "model.safetensors") in Path("/proc/self/maps").read_text()
    histories = [np.array([1, 2, 3])]
    before = artifact.predictor.top_k(histories, 5)
    write_tiny_artifact(tmp_path, num_items=100, seed=1)
    after = artifact.predictor.top_k(histories, 5)
    assert after.indices.tolist() == before.indices.tolist()
    assert artifact.catalogue.item_id(20_000) == "i20000"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_to_be_loaded_draws_no_numbers_and_becomes_the_one_that_was_written(preset: str) -> None:
    written = tiny_model(tiny_config(preset), tiny_catalogue(40))
    drawn = torch.get_rng_state()
    model = build_uninitialized_model(written.config, 40)
    if preset != "cprec":  # whose projections, small, are drawn as they are made
        assert torch.equal(drawn, torch.get_rng_state())
    model.load_state_dict(written.state_dict(), assign=True)
    history = [np.array([3, 1, 7])]
    before, after = (Predictor(one, torch.device("cpu")).top_k(history, 10) for one in (written, model))
    assert np.array_equal(before.indices, after.indices)
    assert np.array_equal(before.scores, after.scores)


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, folder / "model.safetensors")
    sign_again(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match="another type"):
        load_artifact(folder, device="cpu")


def change_manifest(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | values))


def sign_again(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change_manifest(folder, files=files)
