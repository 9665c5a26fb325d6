"""Documents: every path, link, decision, command, setting and metric that they name exists, and no page is stale."""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from app.commands.registry import SUBCOMMANDS
from app.deployments.ray_settings import RaySettings
from app.settings import Settings
from app.telemetry import consumer_metrics, explanation_metrics, metrics, version_metrics

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "models/LOG.md", *ROOT.glob("models/results/*.md")]
)
DECISIONS = sorted(ROOT.glob("docs/adr/0*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
CODE = [
    *(
        path
        for folder in ("app", "client", "examples", "models", "service_tests", "docs")
        for path in (ROOT / folder).rglob("*.py")
    ),
    *(path for folder in ("app", "models", "docker") for path in (ROOT / folder).rglob("*.*")),
    *(ROOT / name for name in ("Makefile", "pyproject.toml", "docker-compose.yml")),
]
SOURCE_NAMES = {path.name for path in CODE}
TEXT_SUFFIXES = {".py", ".lua", ".h", ".cpp", ".yml", ".yaml", ".toml", ".json", ""}
NOT_SETTINGS = {"NEXTUP_TORCH", "NEXTUP_TRACEBACK"}
"""Variables of the Makefile and of the command line."""


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def find_code_blocks(text: str) -> list[str]:
    return re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def find_code_spans(text: str) -> list[str]:
    """Find inline code; a span may go over a line end."""
    without_blocks = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", without_blocks)]


def find_shell_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in code blocks and spans, without variables in front of it."""
    for code in (*find_code_blocks(text), *find_code_spans(text)):
        for line in re.split(r"&&|\n", code.replace("\\\n", " ")):
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                words = line.split()
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words


def make_anchor(heading: str) -> str:
    """Make the anchor of a heading, as GitHub does."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", ""))
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def find_anchors(path: Path) -> set[str]:
    text = re.sub(r"^ *```.*?^ *```", "", read(path), flags=re.DOTALL | re.MULTILINE)
    return {make_anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def read_command_options() -> dict[str, set[str]]:
    """Read the options of every command from the reference page, which another test compares with the code."""
    page = read(ROOT / "docs/reference/cli.md")
    sections = re.findall(r"^#{2,3} (nextup [^\n]+)\n(.*?)(?=^#{2,3} |\Z)", page, re.DOTALL | re.MULTILINE)
    return {name: {"--help", *re.findall(r"--[a-z][\w-]*", body)} for name, body in sections}


def name_document(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_document)
each_decision = pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: str(path.stem[:4]))


@pytest.mark.process
def test_reference_pages_match_the_code() -> None:
    command = [sys.executable, "docs/generate_reference.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.process
def test_pictures_are_those_that_their_program_draws() -> None:
    command = [sys.executable, "docs/draw_pictures.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_navigation_of_the_site_has_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sphinx warns about a page that is missing there, so that the site does not build."""
    monkeypatch.setitem(sys.modules, "sphinx", ModuleType("sphinx"))
    monkeypatch.setitem(sys.modules, "sphinx.application", SimpleNamespace(Sphinx=object))
    conf = runpy.run_path(str(ROOT / "docs/conf.py"))
    names = [page for pages in conf["NAVIGATION"].values() for page in pages]
    listed = {ROOT / f"{name[1:]}.md" if name.startswith("/") else ROOT / f"docs/{name}.md" for name in names}
    below = {path for index, glob in conf["CHILDREN"].items() for path in (ROOT / index).parent.glob(f"{glob}.md")}
    assert len(listed) == len(names), "a page is listed twice"
    assert listed | below == {*ROOT.glob("docs/**/*.md"), *below, *listed} - {ROOT / "docs/index.md"}
    assert [str(path) for path in listed if not path.exists()] == []


@each_document
def test_links_lead_to_existing_files_and_headings(document: Path) -> None:
    for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", read(document)):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in find_anchors(target), link


@each_document
def test_paths_exist(document: Path) -> None:
    for span in find_code_spans(read(document)):
        if re.fullmatch(r"(app|models|service_tests|docs|docker|\.ci)/[\w./-]+", span):
            assert (ROOT / span).exists(), span
        elif re.fullmatch(r"\w+\.(py|lua|h|cpp)", span):
            assert span in SOURCE_NAMES, span
    for block in find_code_blocks(read(document)):
        for path in re.findall(r"(?<![\w./-])(?:app|models|service_tests|docs|docker)/[\w./-]*\w", block):
            assert (ROOT / path).exists(), path


@each_document
def test_commands_and_their_options_exist(document: Path) -> None:
    commands = read_command_options()
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    for words in find_shell_commands(read(document)):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words
        positions = [
            at for at, word in enumerate(words) if word == ".venv/bin/nextup" or (word == "nextup" and at == 0)
        ]
        for arguments in (words[at + 1 :] for at in positions):
            if not arguments or not re.fullmatch(r"[a-z]+", arguments[0]):
                continue
            is_benchmark = arguments[0] == "bench" and re.fullmatch("[a-z]+", "".join(arguments[1:2]))
            is_nested = is_benchmark or " ".join(arguments[:2]) in SUBCOMMANDS
            name = " ".join(["nextup", *arguments[: 2 if is_nested else 1]])
            assert name in commands, words
            options = {re.split("[=,]", word)[0] for word in arguments if re.match(r"--[a-z]", word)}
            assert options <= commands[name], words


@each_document
def test_benchmarks_exist(document: Path) -> None:
    commands = read_command_options()
    for name in re.findall(r"nextup bench ([a-z]+)", read(document)):
        assert f"nextup bench {name}" in commands, name


@each_document
def test_settings_exist(document: Path) -> None:
    settings = {f"NEXTUP_{name.upper()}" for name in Settings.model_fields}
    settings |= {f"NEXTUP_RAY_{name.upper()}" for name in RaySettings.model_fields}
    assert set(re.findall(r"\bNEXTUP_[A-Z_]*[A-Z]\b", read(document))) <= settings | NOT_SETTINGS


@each_document
def test_metrics_exist(document: Path) -> None:
    assert metrics.REJECTED is not None
    assert consumer_metrics.LAG is not None
    assert version_metrics.MODEL_RELOADS is not None
    assert explanation_metrics.EXPLANATIONS is not None
    names = {sample for family in REGISTRY.collect() for sample in (family.name, f"{family.name}_total")}
    spans = [span for span in find_code_spans(read(document)) if "/" not in span]
    assert {name for span in spans for name in re.findall(r"\bnextup_[a-z_]+", span)} <= names


@each_document
def test_decision_numbers_exist(document: Path) -> None:
    numbers = {path.name[:4] for path in DECISIONS}
    assert set(re.findall(r"ADR-(\d{4})", read(document))) <= numbers


def test_code_cites_existing_documents_and_decisions() -> None:
    numbers = {path.name[:4] for path in DECISIONS}
    stale = []
    for path in CODE:
        if path.suffix not in TEXT_SUFFIXES or path == Path(__file__) or "built" in path.parts:
            continue
        text = read(path)
        stale += [(path, number) for number in re.findall(r"ADR-(\d{4})", text) if number not in numbers]
        cited = re.findall(r"(?<![\w./*-])((?:docs|models)/[\w./-]+\.md|[A-Z]{5,}\.md)\b", text)
        stale += [(path, name) for name in cited if not (ROOT / name).exists()]
    assert stale == []


@each_decision
def test_decision_has_every_section_and_an_existing_enforcement(decision: Path) -> None:
    text = read(decision)
    assert re.match(rf"# ADR-{decision.name[:4]}: \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    if decision.name.startswith("0000"):
        return
    assert re.search(r"^- \*\*Status:\*\* (accepted|proposed|superseded by ADR-\d{4})$", text, re.MULTILINE)
    assert re.search(r"^- \*\*Date:\*\* \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    enforcement = find_code_spans(text.partition("## Enforced by")[2])
    assert any(span.startswith(("service_tests/", "make ")) for span in enforcement)


def test_index_lists_every_decision_with_its_title() -> None:
    rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+?) \|", read(ROOT / "docs/adr/index.md"), re.MULTILINE)
    titles = [
        (path.name[:4], path.name, read(path).partition("\n")[0].partition(": ")[2])
        for path in DECISIONS
        if path.stem[:4] != "0000"
    ]
    assert rows == titles


def test_contributing_lists_every_make_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", read(ROOT / "Makefile"), re.MULTILINE)) - {"help"}
    assert {f"make {target}" for target in targets} <= set(find_code_spans(read(ROOT / "CONTRIBUTING.md")))


def test_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 130


@pytest.mark.optional
@pytest.mark.process
@pytest.mark.slow
def test_site_builds_without_warnings_and_without_network_resources(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="documentation packages: make docs")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "-q",
        "-b",
        "html",
        "-c",
        "docs",
        ".",
        str(tmp_path),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    resource = re.compile(r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+rel=\"stylesheet\"[^>]+href=\"https?:")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(DECISIONS)
    assert [page.name for page in pages if resource.search(read(page))] == []
