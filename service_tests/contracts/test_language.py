"""Names and prose follow the language rules of CONTRIBUTING.md; docs/glossary.md is the vocabulary."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from service_tests.support.language import (
    MARKERS,
    Hit,
    begins_with_verb,
    count_words,
    find_assigned_names,
    find_functions,
    find_prose,
    is_banned,
)

ROOT = Path(__file__).parents[2]
CODE = ("app", "client", "examples", "models", "service_tests")
RULES = {ROOT / "service_tests/support/language.py", Path(__file__), ROOT / "docs/glossary.md"}
MAX_BANNED_SHARE = 0.002
MIN_VERB_SHARE = 0.6
MAX_MARKERS_PER_1000_WORDS = 0.1
MIN_TERMS, MAX_TERMS = 60, 100
IGNORED_FOLDERS = {"built", "__pycache__", "site", "node_modules"}
PROSE_SUFFIXES = {".py", ".md", ".lua", ".h", ".cpp", ".yml", ".yaml", ".toml"}


def list_files(*folders: str, suffixes: set[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path not in RULES and not IGNORED_FOLDERS & set(path.parts):
                yield path


@cache
def read_prose() -> list[Hit]:
    """Read every line of prose of the repository."""
    root_files = [path for path in ROOT.iterdir() if path.suffix in {".md", ".yml", ".toml"} and path not in RULES]
    files = [*root_files, *list_files(*CODE, "docs", "docker", suffixes=PROSE_SUFFIXES)]
    return [Hit(path.relative_to(ROOT), line, text.strip()) for path in files for line, text in find_prose(path)]


@cache
def parse_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_names_are_nouns_and_not_participles_or_pronouns() -> None:
    names = [
        (Hit(path.relative_to(ROOT), line, name), is_banned(name))
        for path in list_files(*CODE, suffixes={".py"})
        for name, line in find_assigned_names(parse_tree(path))
    ]
    banned = [str(hit) for hit, is_bad in names if is_bad]
    assert len(banned) <= MAX_BANNED_SHARE * len(names), "\n".join(banned)


@pytest.mark.parametrize("folder", CODE)
def test_functions_begin_with_a_verb(folder: str) -> None:
    functions = [
        Hit(path.relative_to(ROOT), line, name)
        for path in list_files(folder, suffixes={".py"})
        for name, line in find_functions(parse_tree(path))
    ]
    others = [str(hit) for hit in functions if not begins_with_verb(hit.text)]
    assert len(functions) - len(others) >= MIN_VERB_SHARE * len(functions), "\n".join(others)


@pytest.mark.parametrize("marker", MARKERS)
def test_prose_avoids_phrases_of_a_literal_translation(marker: str) -> None:
    words = sum(count_words(hit.text) for hit in read_prose())
    hits = [str(hit) for hit in read_prose() if re.search(MARKERS[marker], hit.text)]
    assert len(hits) <= MAX_MARKERS_PER_1000_WORDS * words / 1000, "\n".join(hits)


def read_glossary() -> list[tuple[str, str, list[str]]]:
    rows = []
    for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and cells[0] not in {"term", "---"}:
            rows.append((cells[0], cells[1], [word for word in cells[2].split(", ") if word]))
    return rows


def test_glossary_defines_each_term_once_in_one_line() -> None:
    rows = read_glossary()
    terms = [term.lower() for term, _, _ in rows]
    assert MIN_TERMS <= len(rows) <= MAX_TERMS
    assert len(set(terms)) == len(terms)
    assert all(meaning for _, meaning, _ in rows)


def test_prose_uses_the_terms_of_the_glossary() -> None:
    rejected = {word: term for term, _, words in read_glossary() for word in words}
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, rejected))})s?\b", re.IGNORECASE)
    hits = [
        f"{hit}; the glossary's term is {rejected[match[1].lower()]!r}"
        for hit in read_prose()
        if (match := pattern.search(hit.text)) is not None
    ]
    assert hits == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["found"]),
        ("for one in range(3): pass", ["one"]),
        ("def f(asked): ...", ["asked"]),
        ("self._kept = 1", ["_kept"]),
        ("found_items = kept_bytes = 1", []),
    ],
)
def test_check_sees_every_kind_of_banned_name(source: str, names: list[str]) -> None:
    assert [name for name, _ in find_assigned_names(ast.parse(source)) if is_banned(name)] == names


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("'What … is' as a subject", "What is stored becomes the next model."),
        ("told, tell, tells", "It tells Prometheus."),
        ("'who' without a noun", "Room for who comes late."),
        ("by name", "refused by name"),
        ("beside, besides", "the file beside it"),
    ],
)
def test_check_sees_every_kind_of_phrase(marker: str, text: str) -> None:
    assert re.search(MARKERS[marker], text)
