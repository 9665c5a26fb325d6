"""Model repository: its versions, its target version, and folders that are not versions."""

import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.model_repository.repository import LockHeld, ModelRepository
from app.model_server.activation import load_best_version
from service_tests.support.versions import (
    WEIGHTS_FILE,
    add_versions,
    corrupt_byte,
    publish_versions,
    read_artifact_version,
    write_tiny_artifacts,
)


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


def test_previous_version_is_never_the_target_itself(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    previous = []
    for version in ("a", "a", "b", "b"):
        repository.set_target_version(version)
        previous.append(repository.get_previous_version())
    assert previous == [None, None, "a", "a"]
    (tmp_path / "previous").write_text("b\n")  # the process ended before it replaced `current`
    assert repository.get_previous_version() is None


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


def write_same_second(folder: Path, count: int) -> list[Path]:
    """Artifacts whose manifests have the same time of creation."""
    artifacts = write_tiny_artifacts(folder, *range(count))
    for artifact in artifacts:
        manifest = json.loads((artifact / "manifest.json").read_text())
        (artifact / "manifest.json").write_text(json.dumps(manifest | {"created": "2026-11-28T10:15:00+00:00"}))
    return artifacts


@pytest.mark.parametrize("clock", ["runs", "stands still", "was set back"])
def test_versions_of_the_same_second_have_the_order_in_which_they_were_published(
    clock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = write_same_second(tmp_path, 3)
    for number, order in enumerate(itertools.permutations(artifacts)):
        folder = tmp_path / f"models-{number}"
        for position, artifact in enumerate(order):
            now_ns = {"runs": time.time_ns(), "stands still": 10**18, "was set back": 10**18 - position}[clock]
            monkeypatch.setattr(time, "time_ns", lambda now_ns=now_ns: now_ns)
            add_versions(folder, artifact)
        monkeypatch.undo()
        published_versions = [read_artifact_version(artifact) for artifact in order]
        assert list_version_names(folder) == published_versions
        ModelRepository(folder).set_target_version(published_versions[-1])
        corrupt_byte(folder / published_versions[-1])
        assert load_best_version(ModelRepository(folder), verify_weights) == published_versions[-2]


def verify_weights(folder: Path) -> str:
    """Load the part of an artifact that `corrupt_byte` damages; ValueError if it is damaged."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest() != manifest["files"][WEIGHTS_FILE]["sha256"]:
        raise ValueError(f"{WEIGHTS_FILE} is damaged")
    return str(manifest["version"])


@pytest.mark.parametrize("content", [None, "", "soon", "-5", "9" * 5000])
def test_versions_without_a_time_of_publication_are_ordered_by_name_before_others_of_their_second(
    content: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    earlier, later, last = add_versions(folder, *write_same_second(tmp_path, 3))
    for version in (earlier, later):
        (folder / version / ".published").unlink()
        if content is not None:
            (folder / version / ".published").write_text(content)
    assert list_version_names(folder) == [*sorted([earlier, later]), last]


def test_exclusive_lock_is_held_by_one_caller_at_a_time(tmp_path: Path) -> None:
    repository, other = ModelRepository(tmp_path), ModelRepository(tmp_path)
    with repository.exclusive_lock(), pytest.raises(LockHeld), other.exclusive_lock():
        pass
    with other.exclusive_lock():
        pass


def test_unreadable_manifests_of_any_kind_do_not_hide_the_other_versions(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (version,) = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1))
    manifest = json.loads((folder / version / "manifest.json").read_text())
    contents = {
        "not-json": b"{",
        "not-utf8": b"\xff\xfe",
        "nested": b'{"a":' + b"[" * 200_000,
        "list": b"[]",
        "size-as-text": json.dumps(manifest | {"files": {"a": {"sha256": "0" * 64, "bytes": "1"}}}).encode(),
        "figures-as-text": json.dumps(manifest | {"figures": {"ndcg@10": "high"}}).encode(),
        "verdict-as-text": json.dumps(manifest | {"verdict": "good"}).encode(),
        "created-as-number": json.dumps(manifest | {"created": 5}).encode(),
        "version-as-list": json.dumps(manifest | {"version": ["a"]}).encode(),
        "too-large": b" " * (5 << 20),
    }
    for name, content in contents.items():
        (folder / name).mkdir()
        (folder / name / "manifest.json").write_bytes(content)
    (folder / "folder" / "manifest.json").mkdir(parents=True)
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "manifest.json")
    repository = ModelRepository(folder)
    assert list_version_names(folder) == [version]
    assert repository.find_target_folder() == folder / version
    for name in (*contents, "folder", "pipe"):
        with pytest.raises(ValueError, match=r"manifest\.json is damaged: .*; copy or export the artifact again"):
            repository.check_manifest(name)


def test_previous_target_is_kept_until_the_target_changes(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    assert repository.get_previous_version() is None
    for version in ("a", "b", "b"):
        repository.set_target_version(version)
    assert repository.get_previous_version() == "a"


def test_published_version_and_pointer_are_on_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    folder, sync = tmp_path / "models", os.fsync
    steps: list[tuple[str, Path]] = []

    def record_sync(descriptor: int) -> None:
        steps.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record_sync)

    def record_name(name: Callable[[Path, Path], None], source: Path, target: Path) -> None:
        steps.append(("name", Path(target)))
        name(source, target)

    monkeypatch.setattr(os, "rename", partial(record_name, os.rename))
    monkeypatch.setattr(os, "replace", partial(record_name, os.replace))
    (version,) = publish_versions(folder, artifact)
    naming, pointing = steps.index(("name", folder / version)), steps.index(("name", folder / "current"))
    before = {path.name for kind, path in steps[:naming] if kind == "sync"}
    assert before >= {file.name for file in artifact.iterdir()}
    assert any(name.startswith(f".incoming-{version}") for name in before), "the names of the files"
    assert ("sync", folder) in steps[naming:pointing]
    assert steps[pointing - 1][0] == "sync", "the content of the pointer"
    assert steps[pointing + 1] == ("sync", folder)
