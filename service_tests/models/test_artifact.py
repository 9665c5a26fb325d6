"""An artifact loads only if its files and golden outputs match what was saved."""

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
from models.native.library import load_library
from models.predictor import Predictor
from models.presets import PRESETS
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model, write_tiny_artifact

FILES = ["config.json", "model.safetensors", "catalogue.parquet", "catalogue.safetensors", "golden.json"]


@pytest.mark.parametrize("preset", ["blossom", "sasrec", "blossomrec", "cprec", "lsan", "popular"])
def test_loaded_artifact_equals_the_saved_one(preset: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", preset=preset)
    artifact = load_artifact(folder, device="cpu")
    expected = tiny_catalogue()
    assert artifact.catalogue.item_ids == expected.item_ids
    assert artifact.catalogue.titles == expected.titles
    assert artifact.catalogue.categories == expected.categories
    assert artifact.catalogue.counts.tolist() == expected.counts.tolist()
    assert artifact.preset == preset
    golden = json.loads((folder / "golden.json").read_text())
    assert len(golden["histories"]) == 32
    top = artifact.predictor.top_k([np.array(history) for history in golden["histories"]], 10)
    assert top.indices.tolist() == golden["items"]


def test_load_chooses_scorers(tmp_path: Path) -> None:
    native_scorer = "codes" if load_library() is None else "native blocks"
    for preset, native, scorer in (
        ("sasrec", True, "plain"),
        ("blossom", True, native_scorer),
        ("blossom", False, "codes"),
    ):
        folder = write_tiny_artifact(tmp_path / preset, preset=preset)
        predictor = load_artifact(folder, device="cpu", native=native).predictor
        assert predictor.scoring["small"] == predictor.scoring["large"]
        assert predictor.scoring["small"]["name"] == scorer  # type: ignore[index]


@pytest.mark.parametrize("name", FILES)
def test_changed_byte_raises(name: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} does not match the manifest"):
        load_artifact(folder, device="cpu")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_missing_file_error_names_the_file(name: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_artifact(folder, device="cpu")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "files": 3}', "{\x00"])
def test_unreadable_manifest_raises(content: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match="manifest"):
        load_artifact(folder, device="cpu")


def test_later_format_error_names_both_formats(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    change_manifest(folder, format=2)
    with pytest.raises(ArtifactError, match="format 2; this version of nextup reads format 1"):
        load_artifact(folder, device="cpu")


def test_golden_mismatch_raises_even_with_matching_digests(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.norm.weight"] = weights["encoder.norm.weight"] * 1.2
    save_file(weights, folder / "model.safetensors")
    update_manifest_entry(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match="golden outputs do not match"):
        load_artifact(folder, device="cpu")


def test_weights_of_another_shape_raise(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "a")
    other = write_tiny_artifact(tmp_path / "b", num_items=70)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    update_manifest_entry(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match="does not contain a valid model"):
        load_artifact(folder, device="cpu")


def test_saving_again_creates_another_version_and_leaves_no_partial_files(tmp_path: Path) -> None:
    first = load_artifact(write_tiny_artifact(tmp_path), device="cpu")
    second = load_artifact(write_tiny_artifact(tmp_path, seed=1), device="cpu")
    assert first.version != second.version
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", FILES)
def test_manifest_without_a_required_file_raises(name: str, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    del files[name]
    change_manifest(folder, files=files)
    with pytest.raises(ArtifactError, match=f"does not list {name}; export the artifact again"):
        load_artifact(folder, device="cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_table_is_memory_mapped_and_survives_replacement_of_the_artifact(tmp_path: Path) -> None:
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
def test_uninitialized_model_uses_no_random_numbers_and_equals_the_saved_model_once_loaded(preset: str) -> None:
    original = tiny_model(tiny_config(preset), tiny_catalogue(40))
    state = torch.get_rng_state()
    model = build_uninitialized_model(original.config, 40)
    if preset != "cprec":  # which initializes its small projections on construction
        assert torch.equal(state, torch.get_rng_state())
    model.load_state_dict(original.state_dict(), assign=True)
    history = [np.array([3, 1, 7])]
    before, after = (Predictor(candidate, torch.device("cpu")).top_k(history, 10) for candidate in (original, model))
    assert np.array_equal(before.indices, after.indices)
    assert np.array_equal(before.scores, after.scores)


def test_weights_of_another_dtype_raise(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, folder / "model.safetensors")
    update_manifest_entry(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match=r"has dtype torch\.float16, the model expects torch\.float32"):
        load_artifact(folder, device="cpu")


def change_manifest(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | values))


def update_manifest_entry(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change_manifest(folder, files=files)
