"""The README's commands are run, as they stand there, on a log of the demo."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from models.data.demo import write_demo
from service_tests.support.nextup_process import COMMAND, ROOT, make_environment, run_service

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands(containing: str) -> list[list[str]]:
    """The lines of the code block with this text, as words; a line that ends in a backslash goes on."""
    (block,) = (block for block in BLOCKS if containing in block)
    return [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def curl(words: list[str], url: str) -> str:
    again = [word.replace("http://127.0.0.1:8000", url) for word in words]
    done = subprocess.run(again, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_has_the_verbs_that_are_named() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"install", "lint", "check", "test", "coverage", "bench", "train", "serve"} <= targets
    assert {words[1] for words in commands("make serve")} <= targets


def test_the_commands_for_ones_own_log_do_what_they_say(tmp_path: Path) -> None:
    write_demo(tmp_path)
    (tmp_path / "interactions.parquet").rename(tmp_path / "log.parquet")
    served_artifact = None
    after_serving: list[list[str]] = []
    for words in commands(".venv/bin/nextup train"):
        if words[0] == "curl":
            after_serving.append(words)
            continue
        assert words[0] == ".venv/bin/nextup"
        if words[1] == "serve":
            served_artifact = words[2:]
            continue
        quick = ["--epochs", "1"] if words[1] == "train" else []
        done = subprocess.run(
            [*COMMAND, *words[1:], *quick],
            capture_output=True, text=True, check=False, cwd=tmp_path, env=make_environment(tmp_path / "var"), timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert served_artifact is not None
    served_artifact[1] = str(tmp_path / served_artifact[1])
    with run_service(tmp_path / "var", *served_artifact) as running:
        stored, answered = (curl(words, running.url) for words in after_serving)
        assert '"stored":1' in stored
        assert '"items":[{' in answered
        (first,) = (words for block in BLOCKS if "ada" in block for words in commands(block) if words[0] == "curl")
        assert '"served_by":"model"' in curl(first, running.url)


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)\)", README))
def test_links_into_the_project_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
