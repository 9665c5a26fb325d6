"""Artifacts with right digests and wrong content are refused with one line that names the file and what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from models.artifact import ArtifactError, load_artifact
from models.presets import PRESETS
from service_tests.support.artifact_mutations import ARRAYS, GOLDEN, WEIGHTS, change_arrays, set_cell
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.broken_artifacts import ALL_CASES, NUM_ITEMS


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A valid artifact of each preset."""
    folder = tmp_path_factory.mktemp("originals")
    return {preset: write_tiny_artifact(folder / preset, preset=preset) for preset in PRESETS}


def check_refused(folder: Path, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as refusal:
        load_artifact(folder, device="cpu")
    text = str(refusal.value)
    assert str(folder) in text
    assert "\n" not in text
    assert len(text) < 600


def copy_artifact(original: Path, folder: Path) -> Path:
    shutil.copytree(original, folder)
    return folder


@pytest.mark.parametrize("name", ALL_CASES)
def test_changed_artifact_is_refused_with_one_line(name: str, originals: dict[str, Path], tmp_path: Path) -> None:
    preset, change, message = ALL_CASES[name]
    folder = copy_artifact(originals[preset], tmp_path / "artifact")
    change(folder)
    check_refused(folder, message)


@pytest.mark.parametrize("preset", PRESETS)
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_of_any_array_is_refused_or_answers_stay_the_same(
    preset: str, originals: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    """An extreme number anywhere never crashes a load, whatever it means there."""
    folder = tmp_path / "artifact"
    shutil.rmtree(folder, ignore_errors=True)
    copy_artifact(originals[preset], folder)
    file = data.draw(st.sampled_from([WEIGHTS, ARRAYS]))
    arrays = load_file(folder / file)
    name = data.draw(st.sampled_from(sorted(name for name, array in arrays.items() if array.size)))
    position = data.draw(st.integers(0, arrays[name].size - 1))
    dtype = arrays[name].dtype
    limits = (np.finfo if dtype.kind == "f" else np.iinfo)(dtype) if dtype.kind in "fiu" else None
    extremes = [0, 1] if limits is None else [limits.min, limits.max, 0]
    change_arrays(folder, file, set_cell(name, position, data.draw(st.sampled_from(extremes))))
    golden = json.loads((folder / GOLDEN).read_text())
    try:
        artifact = load_artifact(folder, device="cpu")
    except ArtifactError:
        return
    top = artifact.predictor.top_k([np.array(history) for history in golden["histories"]], 10)
    assert np.isfinite(top.scores).all()
    assert [artifact.catalogue.item_id(index) for index in range(1, NUM_ITEMS + 1)]
