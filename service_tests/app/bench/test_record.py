"""A figure that is kept has its machine, its commit and its command beside it."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from app.bench.record import collect_machine_facts, get_commit, record

ROOT = Path(__file__).parents[3]


def test_a_record_has_what_one_needs_to_measure_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nextup", "bench", "serve", "a log.parquet"])
    facts = collect_machine_facts()
    record(tmp_path / "new" / "folder", "serve", "the table\n", {"passed": True}, facts)
    kept = json.loads((tmp_path / "new" / "folder" / "serve.json").read_text())
    assert kept["result"] == {"passed": True}
    assert kept["machine"] == facts
    assert kept["command"] == "nextup bench serve 'a log.parquet'"
    page = (tmp_path / "new" / "folder" / "serve.md").read_text()
    for told in ("the table", "'a log.parquet'", kept["commit"], facts["torch"], f"cores: {facts['cores']}"):
        assert told in page


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="no repository, or no git")
def test_the_commit_is_the_one_that_runs() -> None:
    assert re.fullmatch(r"[0-9a-f]{12,40}\+?", get_commit())


def test_code_outside_a_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.bench.record.app.__file__", str(tmp_path / "app" / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert get_commit() == "not known"
