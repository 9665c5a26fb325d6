"""Runs the commands of the README, unchanged, on a demo log."""

import re
import subprocess
from pathlib import Path

import pytest

from models.data.demo import write_demo
from service_tests.support.code_blocks import find_code_block
from service_tests.support.nextup_process import ROOT, run_nextup, run_service

README = (ROOT / "README.md").read_text()


def parse_commands(text: str) -> list[list[str]]:
    """Split the only code block that contains the text into the words of each command."""
    return find_code_block("README.md", text).split_commands()


def run_curl(words: list[str], url: str) -> str:
    command = [word.replace("http://127.0.0.1:8000", url) for word in words]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return process.stdout


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"install", "lint", "check", "test", "coverage", "bench", "train", "serve"} <= targets
    assert {words[1] for words in parse_commands("make serve")} <= targets


@pytest.mark.process
@pytest.mark.timeout(400)
def test_commands_for_a_custom_log_work(tmp_path: Path) -> None:
    write_demo(tmp_path)
    (tmp_path / "interactions.parquet").rename(tmp_path / "log.parquet")
    serve_options = None
    requests: list[list[str]] = []
    for words in parse_commands(".venv/bin/nextup train"):
        if words[0] == "curl":
            requests.append(words)
            continue
        assert words[0] == ".venv/bin/nextup"
        if words[1] == "serve":
            serve_options = words[2:]
            continue
        options = ["--epochs", "1"] if words[1] == "train" else []
        process = run_nextup(tmp_path / "var", *words[1:], *options, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
    assert serve_options is not None
    serve_options[1] = str(tmp_path / serve_options[1])
    with run_service(tmp_path / "var", *serve_options) as service:
        event_response, response = (run_curl(words, service.url) for words in requests)
        assert '"stored":1' in event_response
        assert '"items":[{' in response
        (curl,) = (words for words in parse_commands("ada") if words[0] == "curl")
        assert '"served_by":"model"' in run_curl(curl, service.url)


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)\)", README))
def test_relative_links_resolve(path: str) -> None:
    assert (ROOT / path).exists()
