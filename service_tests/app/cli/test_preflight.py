"""Outputs and inputs are checked before work begins; a check leaves nothing behind."""

from collections import namedtuple
from pathlib import Path

import pytest

from app.cli.preflight import check_input_file, check_output_file, check_output_folder

NO_FOLDER = Path("/proc/nextup/out")
"""The kernel creates no folder there, not even for root."""
Usage = namedtuple("Usage", ["total", "used", "free"])


def test_writable_folder_is_accepted_and_not_created(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_text("x")
    check_output_folder(tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


def test_error_names_the_option_and_the_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"--out .*file/a cannot be written: .*file is a file, not a folder"):
        check_output_folder(tmp_path / "file" / "a")
    with pytest.raises(ValueError, match=r"--out /proc/nextup/out cannot be written: .*; check the path"):
        check_output_folder(NO_FOLDER)
    with pytest.raises(ValueError, match=r"--report .* is a folder"):
        check_output_file(tmp_path, "--report")
    with pytest.raises(ValueError, match=r"--report .* cannot be written"):
        check_output_file(NO_FOLDER, "--report")


def test_full_disk_is_reported_before_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(ValueError, match=r"--out .* cannot be written: its disk has 1 MB left; free some space"):
        check_output_folder(tmp_path)


def test_input_that_cannot_be_read_names_the_option(tmp_path: Path) -> None:
    check_input_file(Path(__file__), "--items")
    with pytest.raises(ValueError, match=r"--items .*missing.csv cannot be read: .*No such file.*check the path"):
        check_input_file(tmp_path / "missing.csv", "--items")
    with pytest.raises(ValueError, match="name a file instead of a folder"):
        check_input_file(tmp_path, "--items")
