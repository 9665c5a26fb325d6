"""Benchmark records contain machine, commit and command."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from app.bench.record import collect_machine_facts, get_commit, write_record

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]


def test_record_contains_everything_to_reproduce_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nextup", "bench", "serve", "a log.parquet"])
    facts = collect_machine_facts()
    write_record(tmp_path / "new" / "folder", "serve", "the table\n", {"passed": True}, facts)
    stored = json.loads((tmp_path / "new" / "folder" / "serve.json").read_text())
    assert stored["result"] == {"passed": True}
    assert stored["machine"] == facts
    assert stored["command"] == "nextup bench serve 'a log.parquet'"
    page = (tmp_path / "new" / "folder" / "serve.md").read_text()
    for text in ("the table", "'a log.parquet'", stored["commit"], facts["torch"], f"cores: {facts['cores']}"):
        assert text in page


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="no repository, or no git")
def test_commit_is_that_of_the_running_code() -> None:
    assert re.fullmatch(r"[0-9a-f]{12,40}\+?", get_commit())


def test_code_outside_a_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.bench.record.app.__file__", str(tmp_path / "app" / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert get_commit() == "not known"
