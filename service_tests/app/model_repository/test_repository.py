"""A folder of versions: what is in it, which one is wanted, and what is no version."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from app.model_repository.repository import LockHeld, ModelRepository
from service_tests.support.versions import publish_versions, read_artifact_version, write_tiny_artifacts


def test_a_single_artifact_is_a_folder_of_one_version(tiny_artifact: Path) -> None:
    folder = ModelRepository(tiny_artifact)
    assert folder.find_target_folder() == tiny_artifact
    assert (
        [stored.version for stored in folder.versions()]
        == [folder.get_target_version()]
        == [read_artifact_version(tiny_artifact)]
    )


def test_current_decides_between_the_artifact_of_the_folder_and_those_published_into_it(tmp_path: Path) -> None:
    own, other = write_tiny_artifacts(tmp_path, 1, 2)
    (published_version,) = publish_versions(own, other)
    folder = ModelRepository(own)
    assert folder.find_target_folder() == own / published_version
    folder.set_target_version(read_artifact_version(own))
    assert folder.find_target_folder() == own
    assert {stored.version for stored in folder.versions()} == {read_artifact_version(own), published_version}


def test_a_current_that_names_nothing_is_told_by_name(tmp_path: Path) -> None:
    (own,) = write_tiny_artifacts(tmp_path, 1)
    ModelRepository(own).set_target_version("gone")
    with pytest.raises(ValueError, match="current names version 'gone'"):
        ModelRepository(own).find_target_folder()
    with pytest.raises(ValueError, match="holds no artifact"):
        ModelRepository(tmp_path / "nowhere").find_target_folder()


def test_every_wish_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    folder = ModelRepository(tmp_path)
    stamps = [folder.read_pointer_stamp()]
    for version in ("a", "b", "b"):
        folder.set_target_version(version)
        stamps.append(folder.read_pointer_stamp())
    assert stamps[0] is None
    assert all(before != after for before, after in itertools.pairwise(stamps))


@pytest.mark.parametrize(
    "change",
    [{"version": "../escape"}, {"version": ".hidden"}, {"files": {"../x": {"sha256": "", "bytes": 1}}}, {"files": 3}],
)
def test_a_manifest_whose_names_lead_elsewhere_is_no_version(tmp_path: Path, change: dict[str, object]) -> None:
    (made,) = write_tiny_artifacts(tmp_path, 1)
    manifest = made / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    assert ModelRepository(made).versions() == []


def test_what_is_only_half_there_is_not_listed(tmp_path: Path) -> None:
    first, second = publish_versions(tmp_path / "models", *write_tiny_artifacts(tmp_path, 1, 2))
    (tmp_path / "models" / second).rename(tmp_path / "models" / f".incoming-{second}")
    shutil.copytree(tmp_path / "models" / first, tmp_path / "models" / "half")
    (tmp_path / "models" / "half" / "manifest.json").unlink()
    assert [stored.version for stored in ModelRepository(tmp_path / "models").versions()] == [first]


def test_only_one_at_a_time_may_be_alone(tmp_path: Path) -> None:
    folder, same = ModelRepository(tmp_path), ModelRepository(tmp_path)
    with folder.exclusive_lock(), pytest.raises(LockHeld), same.exclusive_lock():
        pass
    with same.exclusive_lock():
        pass
