"""Measures of the language rules: names by syntax tree, phrases by pattern over all prose of the repository."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BANNED_NAMES = frozenset(
    """
    found told asked given made known said shown wanted kept left taken one here there done seen sent drawn chosen held
    gone meant needed written answered asking answering telling looking who what whom whose which whatever anybody
    nobody somebody everybody everyone others mine ours theirs this that
    """.split()  # noqa: SIM905 - a vocabulary reads best as prose
)
"""Participles and pronouns that say nothing about the value they name."""

VERBS = frozenset(Path(__file__).with_name("verbs.txt").read_text(encoding="utf-8").split())
"""First words of function names; `as`, `from`, `to`, `on` and `with` are the usual conversions and callbacks."""

MARKERS = {
    "'What … is' as a subject": r"\bWhat (?:[\w'’`-]+ ){0,6}(?:is|was|are|were|has|have|had|does|do)\b(?![^.\n]*\?)",
    "told, tell, tells": r"\b(?:[Tt]old|[Tt]ells?|[Tt]elling)\b",
    "lies or stands for 'is'": r"\b(?:[Ll]ies|[Ss]tands)\b",
    "knows no, knows nothing": r"\b[Kk]nows? (?:no|nothing|neither)\b",
    "nobody, somebody, whoever": r"\b(?:[Nn]obody|[Ss]omebody|[Ee]verybody|[Aa]nybody|[Ww]hoever|[Ww]homever)\b",
    "beside, besides": r"\b[Bb]esides?\b",
    "of its own, of ours": r"\bof (?:its|their|our|your|my|his|her) own\b|\bof ours\b",
    "'who' without a noun": r"(?:(?:^|[.;:!?] )|\b(?:for|to|of|by|from|with|and|but|than|as) )[Ww]ho\b(?![^.\n]*\?)",
    "by name": r"\bby name\b",
    "anew": r"\banew\b",
}
"""Phrases of a literal translation, which the field does not use; see docs/glossary.md for its own terms."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One place that breaks a rule."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def find_assigned_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that an assignment, loop, parameter, attribute or definition creates, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def is_banned(name: str) -> bool:
    return name.strip("_").lower() in BANNED_NAMES


def find_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield functions and methods that rule 1 covers: no properties, fixtures, tests, dunders or overloads."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = {part for decorator in node.decorator_list for part in re.findall(r"\w+", ast.unparse(decorator))}
        if decorators & {"property", "cached_property", "fixture", "overload", "setter"}:
            continue
        if node.name.startswith(("__", "test_")) or node.name in {"main", "forward", "lifespan"}:
            continue
        yield node.name, node.lineno


def begins_with_verb(name: str) -> bool:
    return name.strip("_").split("_")[0].lower() in VERBS or name.startswith(("visit", "assert"))


def find_prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of docstrings, comments and messages of a source file, or of the prose of a document."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _find_python_prose(text)
    elif path.suffix == ".md":
        yield from _find_markdown_prose(text)
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if (match := re.match(r"\s*(?:#|//|--)\s?(.*)", line)) is not None:
                yield number, match[1]


def _find_python_prose(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
        elif token.type == tokenize.STRING and len(token.string.split()) > 2:
            content = re.sub(r"^[A-Za-z]*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$", "", token.string)
            for offset, line in enumerate(content.split("\n")):
                yield token.start[0] + offset, line.strip()


def _find_markdown_prose(text: str) -> Iterator[tuple[int, str]]:
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield number, re.sub(r"`[^`]*`", "`code`", line)


def count_words(text: str) -> int:
    return len(re.findall(r"[A-Za-z][\w'’-]*", text))
