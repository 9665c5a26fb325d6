"""Every code block of the README and the documents is parsed, and run where this machine can run it."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from app.commands.main import Invocation, parse
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.code_blocks import ROOT, CodeBlock, find_code_blocks, get_nextup_arguments
from service_tests.support.nextup_process import RunningService, make_environment, run_nextup, run_service

PAGES = [
    ROOT / "README.md",
    *(
        path
        for path in sorted(ROOT.glob("docs/**/*.md"))
        if path.parts[len(ROOT.parts) + 1] not in ("reference", "adr")
    ),
]
BLOCKS = [block for page in PAGES for block in find_code_blocks(page)]
LANGUAGES = {"sh", "json", "yaml", "python", "text"}
"""`text` is output or a drawing."""
RUN_ELSEWHERE = {
    ("README.md", "nextup train log.parquet"): "service_tests/end_to_end/test_readme.py",
    ("README.md", "nextup publish var/next"): "service_tests/end_to_end/test_first_hour.py",
    ("docs/getting-started.md", "nextup publish var/next"): "service_tests/end_to_end/test_first_hour.py",
    ("docs/training/logs.md", "nextup inspect orders.csv"): "service_tests/end_to_end/test_first_hour.py",
    **{
        ("docs/tutorial.md", text): "service_tests/end_to_end/test_first_hour.py"
        for text in (
            "import csv",
            "nextup inspect",
            "nextup train orders.csv",
            "nextup load",
            "nextup serve",
            '"include": ["title"]',
            '"event_id": "order-1"',
            '"available": false',
            "nextup publish var/next",
            "nextup rollback",
        )
    },
    ("docs/architecture/model-lifecycle.md", "nextup publish var/next"): "service_tests/end_to_end/test_first_hour.py",
}
NOT_RUN = {
    ("README.md", "make serve"): "installs packages, and runs all tests",
    ("docs/getting-started.md", "make serve"): "installs packages",
    ("docs/training/distributed.md", "torchrun"): "needs two machines, or four GPUs",
    ("docs/operations/kubernetes.md", "kubectl create secret"): "needs a Kubernetes cluster",
    ("docs/operations/capacity.md", "nextup bench memory"): "measures ten million items for minutes",
    ("docs/operations/containers.md", "docker buildx"): "needs docker",
    (
        "docs/operations/event-log.md",
        "nextup train events://",
    ): "needs stored events; app/archive tests train on it",
    ("docs/api.md", "nextup items load"): "needs files of a shop; app/commands/test_items_load.py loads some",
    (
        "docs/operations/experiments.md",
        "nextup publish",
    ): "takes ten minutes; test_shadow_trial.py publishes in seconds",
    (
        "docs/training/event-types.md",
        "nextup train log.csv",
    ): "needs a log with event types; test_event_types.py trains on one",
    ("docs/operations/ray.md", "make ray"): "installs Ray, and needs a Redis on another host",
}
"""Blocks by document and a text in them, with the reason."""


def select_blocks(language: str) -> list[CodeBlock]:
    return [block for block in BLOCKS if block.language == language]


def is_in(block: CodeBlock, table: dict[tuple[str, str], str]) -> bool:
    return any(block.document == document and text in block.text for document, text in table)


def is_run_here(block: CodeBlock) -> bool:
    return block.language == "sh" and not is_in(block, RUN_ELSEWHERE) and not is_in(block, NOT_RUN)


def parametrize_blocks(*blocks: CodeBlock) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=lambda block: str(block.name))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("documents")
    artifact = write_tiny_artifact(folder / "artifact")
    with run_service(folder / "data", "--artifact", str(artifact)) as running:
        yield running


@parametrize_blocks(*BLOCKS)
def test_block_names_its_language(block: CodeBlock) -> None:
    assert block.language in LANGUAGES


@parametrize_blocks(*select_blocks("sh"))
def test_nextup_commands_parse_with_their_options(block: CodeBlock) -> None:
    for words in block.split_commands():
        if (arguments := get_nextup_arguments(words)) is None:
            assert "nextup" not in [Path(word).name for word in words[:1]], words
            continue
        try:
            assert isinstance(parse(arguments), Invocation), words
        except typer.TyperException as error:
            pytest.fail(f"{words}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_inline_commands_parse(page: Path) -> None:
    """Inline commands may leave out arguments, the value of their last option, and use a letter for a number."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`nextup ([^`]+ [^`]+)`", re.sub(r"\s+", " ", text)):
        words = [re.sub("^[A-Z]$", "100", word) for word in shlex.split(span)]
        try:
            parse(words)
        except typer.TyperException as error:
            incomplete = ("Missing parameter", f"Option {words[-1]!r} requires an argument")
            if not str(error).startswith(incomplete):
                pytest.fail(f"{span}: {error}")


@parametrize_blocks(*select_blocks("json"), *select_blocks("yaml"), *select_blocks("python"))
def test_data_and_programs_parse(block: CodeBlock) -> None:
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        content = yaml.safe_load(block.text)
        assert isinstance(content, dict)
        for config in content.get("configs", {}).values():
            assert isinstance(yaml.safe_load(config["content"]), dict)
    else:
        ast.parse(block.text, block.name)


@pytest.mark.slow
@parametrize_blocks(*filter(is_run_here, BLOCKS))
def test_block_runs(block: CodeBlock, service: RunningService, tmp_path: Path) -> None:
    """Commands exit with 0 and requests are answered with 2xx by one running service."""
    for words in block.split_commands():
        arguments = get_nextup_arguments(words)
        if arguments is not None:
            process = run_nextup(tmp_path / "data", *arguments, cwd=tmp_path)
            assert process.returncode == 0, process.stderr
            continue
        assert words[0] == "curl", f"{block.name}: add the block to NOT_RUN with the reason"
        request = [word.replace("http://127.0.0.1:8000", service.url) for word in words]
        assert service.url in " ".join(request)
        status = ["--write-out", "%{http_code}", "--output", str(tmp_path / "response")]
        result = subprocess.run([*request, *status], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("2"), (tmp_path / "response").read_text()


@pytest.mark.slow
@parametrize_blocks(*(block for block in select_blocks("python") if not is_in(block, RUN_ELSEWHERE)))
def test_program_runs_against_the_service(block: CodeBlock, service: RunningService, tmp_path: Path) -> None:
    assert "http://127.0.0.1:8000" in block.text
    program = block.text.replace("http://127.0.0.1:8000", service.url)
    command, environment = [sys.executable, "-W", "error", "-c", program], make_environment(tmp_path)
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("key", [*RUN_ELSEWHERE, *NOT_RUN], ids=": ".join)
def test_tables_name_one_existing_block_each(key: tuple[str, str]) -> None:
    document, text = key
    runnable = [*select_blocks("sh"), *select_blocks("python")]
    matches = [block for block in runnable if block.document == document and text in block.text]
    assert len(matches) == 1, f"{text!r} is in {len(matches)} blocks of {document}"
    assert (key in RUN_ELSEWHERE) + (key in NOT_RUN) == 1


@pytest.mark.parametrize("key", RUN_ELSEWHERE, ids=": ".join)
def test_test_that_runs_a_block_names_its_document(key: tuple[str, str]) -> None:
    assert f'"{key[0]}"' in (ROOT / RUN_ELSEWHERE[key]).read_text()
