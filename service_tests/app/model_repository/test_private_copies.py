"""Private copies: changes of the originals do not reach them, processes share them, and unused ones are removed."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import ArtifactRejected
from app.model_repository.private_copies import PrivateCopies
from service_tests.support.nextup_process import ROOT
from service_tests.support.versions import WEIGHTS_FILE, write_tiny_artifacts

HOLDER = """
import sys, time
from pathlib import Path
from app.model_repository.private_copies import PrivateCopies
copy = PrivateCopies(Path(sys.argv[1])).open(Path(sys.argv[2]))
print(copy.folder, flush=True)
time.sleep(100)
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (folder,) = write_tiny_artifacts(tmp_path, 1)
    return folder


def list_folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()]


@contextmanager
def hold_in_another_process(root: Path, artifact: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Hold a copy in a process until the block ends; yield it and the folder of the copy."""
    command = [sys.executable, "-c", HOLDER, str(root), str(artifact)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_truncated_and_changed_originals_do_not_reach_a_copy(artifact: Path, tmp_path: Path) -> None:
    content = (artifact / WEIGHTS_FILE).read_bytes()
    copy = PrivateCopies(tmp_path / "copies").open(artifact)
    with (copy.folder / WEIGHTS_FILE).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        os.truncate(artifact / WEIGHTS_FILE, 0)  # a process that maps the original gets SIGBUS
        assert mapped[:] == content
    assert not (copy.folder / WEIGHTS_FILE).stat().st_mode & 0o222
    copy.close()
    assert list_folders(tmp_path / "copies") == []


@pytest.mark.process
def test_processes_share_a_copy_and_the_last_one_removes_it(artifact: Path, tmp_path: Path) -> None:
    root = tmp_path / "copies"
    copies = PrivateCopies(root)
    first, second = copies.open(artifact), copies.open(artifact)
    with hold_in_another_process(root, artifact) as (_, folder):
        assert first.folder == second.folder == folder
        first.close()
        first.close()
        copies.close()
        assert (folder / WEIGHTS_FILE).is_file()
    copies.remove_unused()
    assert list(root.iterdir()) == []


@pytest.mark.process
def test_copy_of_a_killed_process_is_removed_by_the_next_one(artifact: Path, tmp_path: Path) -> None:
    root = tmp_path / "copies"
    (other,) = write_tiny_artifacts(tmp_path, 2)
    with hold_in_another_process(root, artifact) as (process, folder):
        process.kill()
        process.wait()
        assert folder.is_dir()
        copy = PrivateCopies(root).open(other)
        assert list_folders(root) == [copy.folder]


def test_interrupted_copy_is_made_again(artifact: Path, tmp_path: Path) -> None:
    root = tmp_path / "copies"
    copy = PrivateCopies(root).open(artifact)
    partial = copy.folder.with_name(f"{copy.folder.name}.partial")
    copy.close()
    partial.mkdir()
    (partial / "config.json").write_text("{")
    copy = PrivateCopies(root).open(artifact)
    assert (copy.folder / "config.json").read_bytes() == (artifact / "config.json").read_bytes()
    assert list_folders(root) == [copy.folder]


def test_missing_longer_and_shorter_files_are_refused_and_nothing_remains(artifact: Path, tmp_path: Path) -> None:
    copies = PrivateCopies(tmp_path / "copies")
    os.truncate(artifact / WEIGHTS_FILE, 10)
    with pytest.raises(ArtifactRejected, match=f"{WEIGHTS_FILE} does not match the manifest"):
        copies.open(artifact)
    os.truncate(artifact / WEIGHTS_FILE, 10**12)  # sparse: it would fill the disk
    with pytest.raises(ArtifactRejected, match=f"{WEIGHTS_FILE} does not match the manifest"):
        copies.open(artifact)
    (artifact / WEIGHTS_FILE).unlink()
    with pytest.raises(ArtifactRejected, match=f"{WEIGHTS_FILE} is missing"):
        copies.open(artifact)
    (artifact / "manifest.json").write_text("{")
    with pytest.raises(ArtifactRejected, match=r"manifest\.json is damaged"):
        copies.open(artifact)
    assert list_folders(tmp_path / "copies") == []


def test_version_is_used_in_place_where_no_copy_can_be_made(
    artifact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    copy = PrivateCopies(tmp_path / "file" / "copies").open(artifact)
    assert copy.folder == artifact
    assert "is not copied to" in caplog.text
    copy.close()
    assert artifact.is_dir()
    assert PrivateCopies(tmp_path / "off", is_enabled=False).open(artifact).folder == artifact
    assert not (tmp_path / "off").exists()


def test_replaced_manifest_of_the_same_version_gets_another_copy(artifact: Path, tmp_path: Path) -> None:
    copies = PrivateCopies(tmp_path / "copies")
    first = copies.open(artifact)
    with (artifact / "manifest.json").open("a") as file:
        file.write("\n")
    second = copies.open(artifact)
    assert first.folder != second.folder
