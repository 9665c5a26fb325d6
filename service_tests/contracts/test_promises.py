"""Every promise of docs/promises.md names tests that exist, and no table of promises is without tests."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/promises.md"
TESTS = ROOT / "service_tests"
SECTIONS = ("Stored", "Once", "Order", "Reads", "Failures", "Event log", "Erasure")


def list_promises() -> list[tuple[str, str, list[str]]]:
    """List (section, promise, tests) of the tables whose last column is `test`."""
    promises = []
    section, columns = "", [""]
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if not line.startswith("|"):
            columns = [""]
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if columns == [""]:
            columns = cells
        elif columns[-1] == "test" and set(cells[-1]) - set("- "):
            promises.append((section, cells[0], re.findall(r"`([^`]+)`", cells[-1])))
        elif columns[-1] == "test" and not cells[-1]:
            promises.append((section, cells[0], []))
    return promises


PROMISES = list_promises()


@cache
def list_functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_page_has_every_section() -> None:
    assert tuple(dict.fromkeys(section for section, _, _ in PROMISES)) == SECTIONS
    assert len(PROMISES) > 35


@pytest.mark.parametrize(("section", "promise", "tests"), PROMISES, ids=lambda value: str(value)[:40])
def test_promise_names_existing_tests(section: str, promise: str, tests: list[str]) -> None:
    assert tests, f"{section}: {promise} names no test"
    for name in tests:
        file, separator, function = name.partition("::")
        assert separator, f"{name} is not FILE::TEST"
        path = TESTS / file
        assert path.is_file(), f"{section}: {promise}: {name}"
        assert function.startswith("test_"), name
        assert function in list_functions(path), f"{section}: {promise}: {name}"
