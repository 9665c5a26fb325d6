"""Packages are imported from this checkout, stay light to import, and consist of short, well-named files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import app
import models

ROOT = Path(__file__).parents[2]
MAX_LINES, MAX_LINES_WITH_A_REASON = 250, 300
REASON = f"longer than {MAX_LINES} lines because"


def list_modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_packages_are_imported_from_this_checkout() -> None:
    assert Path(app.__file__).parent == ROOT / "app"
    assert Path(models.__file__).parent == ROOT / "models"


@pytest.mark.process
def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; from app.commands.main import main\n"
        "try: main(['--help'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    for command in ("train", "evaluate", "serve", "load", "dump", "erase", "bench"):
        assert command in result.stdout


def test_modules_are_short() -> None:
    """At most 250 lines; 300 if the module docstring says "longer than 250 lines because …"."""
    too_long = {}
    for path in list_modules("app", "models"):
        text = path.read_text()
        limit = MAX_LINES_WITH_A_REASON if REASON in (ast.get_docstring(ast.parse(text)) or "") else MAX_LINES
        if (length := len(text.splitlines())) > limit:
            too_long[str(path.relative_to(ROOT))] = length
    assert too_long == {}


def test_modules_are_not_named_utils() -> None:
    vague_names = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [path for path in list_modules("app", "models", "service_tests") if path.name in vague_names] == []
