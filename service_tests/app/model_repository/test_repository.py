"""Model repository: its versions, its target version, and folders that are not versions."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from app.model_repository.repository import LockHeld, ModelRepository
from service_tests.support.versions import publish_versions, read_artifact_version, write_tiny_artifacts


def list_version_names(folder: Path) -> list[str]:
    return [stored.version for stored in ModelRepository(folder).list_versions()]


def test_single_artifact_is_a_repository_of_one_version(tiny_artifact: Path) -> None:
    repository = ModelRepository(tiny_artifact)
    version = read_artifact_version(tiny_artifact)
    assert repository.find_target_folder() == tiny_artifact
    assert (list_version_names(tiny_artifact), repository.get_target_version()) == ([version], version)


def test_pointer_chooses_between_the_folders_own_artifact_and_published_versions(tmp_path: Path) -> None:
    folder, other = write_tiny_artifacts(tmp_path, 1, 2)
    (published_version,) = publish_versions(folder, other)
    repository = ModelRepository(folder)
    assert repository.find_target_folder() == folder / published_version
    repository.set_target_version(read_artifact_version(folder))
    assert repository.find_target_folder() == folder
    assert set(list_version_names(folder)) == {read_artifact_version(folder), published_version}


def test_missing_target_raises_an_error_that_names_it(tmp_path: Path) -> None:
    (folder,) = write_tiny_artifacts(tmp_path, 1)
    ModelRepository(folder).set_target_version("missing")
    with pytest.raises(ValueError, match="current names version 'missing'"):
        ModelRepository(folder).find_target_folder()
    with pytest.raises(ValueError, match="holds no artifact"):
        ModelRepository(tmp_path / "nowhere").find_target_folder()


def test_pointer_stamp_changes_with_every_target(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    stamps = [repository.read_pointer_stamp()]
    for version in ("a", "b", "b"):
        repository.set_target_version(version)
        stamps.append(repository.read_pointer_stamp())
    assert stamps[0] is None
    assert all(before != after for before, after in itertools.pairwise(stamps))


@pytest.mark.parametrize(
    "change",
    [{"version": "../escape"}, {"version": ".hidden"}, {"files": {"../x": {"sha256": "", "bytes": 1}}}, {"files": 3}],
)
def test_manifest_with_names_that_are_paths_is_not_a_version(tmp_path: Path, change: dict[str, object]) -> None:
    (folder,) = write_tiny_artifacts(tmp_path, 1)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    assert list_version_names(folder) == []


def test_incomplete_versions_are_not_listed(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    (folder / second).rename(folder / f".incoming-{second}")
    shutil.copytree(folder / first, folder / "half")
    (folder / "half" / "manifest.json").unlink()
    assert list_version_names(folder) == [first]


def test_exclusive_lock_is_held_by_one_caller_at_a_time(tmp_path: Path) -> None:
    repository, other = ModelRepository(tmp_path), ModelRepository(tmp_path)
    with repository.exclusive_lock(), pytest.raises(LockHeld), other.exclusive_lock():
        pass
    with other.exclusive_lock():
        pass
