"""The nightly container's own script, run on this machine: one night, and the service has a model of what it stored."""

import os
import signal
import subprocess
import textwrap
from pathlib import Path

import httpx

from service_tests.artifacts import write_tiny_artifact
from service_tests.end_to_end.test_publish import ITEMS, SMALL, active, said, stored_log, until
from service_tests.nextup_process import COMMAND, ROOT, environment, serving
from service_tests.versions import version_of

FAILED = "no new version tonight"


def with_the_command(folder: Path) -> Path:
    """The folder, with a `nextup` in it that runs this project."""
    folder.mkdir()
    python, option, code = COMMAND
    (folder / "nextup").write_text(f"#!/bin/sh\nexec '{python}' {option} '{code}' \"$@\"\n")
    (folder / "nextup").chmod(0o755)
    return folder


def nightly_script() -> str:
    """As the shell gets it: compose writes a dollar as two."""
    text = (ROOT / "docker-compose.yml").read_text().split("\n  nightly:\n")[1]
    script = text.split("      - |\n")[1].split("\n    environment:\n")[0]
    return textwrap.dedent(script).replace("$$", "$")


def test_a_night_turns_what_was_stored_into_the_version_that_serves(tmp_path: Path) -> None:
    data, shelf, told = tmp_path / "data", tmp_path / "models", tmp_path / "told"
    first = version_of(write_tiny_artifact(shelf, num_items=ITEMS))
    with serving(data, "--artifact", str(shelf)) as served:
        said(data, "load", str(stored_log(tmp_path)))
        values = environment(
            data,
            PATH=f"{with_the_command(tmp_path / 'bin')}:{os.environ['PATH']}",
            NEXTUP_ARTIFACT=str(shelf),
            SERVICE=served.url,
            EVERY_S="1000",
            TRAIN_OPTIONS=" ".join(SMALL),
        )
        with told.open("w") as output:
            night = subprocess.Popen(
                ["sh", "-c", nightly_script()], env=values, stdout=output, stderr=output, start_new_session=True
            )
        try:
            until(lambda: active(served) != first or FAILED in told.read_text(), "the night ends")
        finally:
            os.killpg(night.pid, signal.SIGTERM)
            night.wait(20)
        trained = active(served)
        assert trained != first, told.read_text()
        assert (shelf / "current").read_text() == f"{trained}\n"
        item = httpx.get(f"{served.url}/items/i1").json()
    assert item["title"] == "Item number 1", "titles come from the version before"
    assert trained in told.read_text()
