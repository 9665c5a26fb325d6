"""Folders of shared metrics: removed at the end, and by the next service if a service was killed."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from app.supervision.metrics_folder import LOCK, MIN_AGE_S, PREFIX, share_metrics


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return tmp_path


def make_folder(parent: Path, name: str, *, age_s: float) -> Path:
    folder = parent / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / LOCK).touch()
    changed_at = folder.stat().st_mtime - age_s
    os.utime(folder, (changed_at, changed_at))
    return folder


def test_folder_exists_while_the_service_runs(parent: Path) -> None:
    with share_metrics():
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        assert folder.parent == parent
        with (folder / LOCK).open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(parent.iterdir()) == []


def test_folders_of_killed_services_are_removed_and_no_others(parent: Path) -> None:
    killed = make_folder(parent, "killed", age_s=2 * MIN_AGE_S)
    running = make_folder(parent, "running", age_s=2 * MIN_AGE_S)
    starting = make_folder(parent, "starting", age_s=0)
    with (running / LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with share_metrics():
            assert not killed.exists()
            assert running.exists()
            assert starting.exists()
