"""The nightly container's script, run on this machine: retrain on stored events and hot-swap the model."""

import os
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service_tests.end_to_end.test_publish import (
    BODIES,
    EVENTS,
    ITEMS,
    SMALL,
    TIMEOUT_S,
    USERS,
    get_active_version,
    wait_for_more_responses,
)
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.constant_load import LONG_DEADLINE, run_constant_load
from service_tests.support.nextup_process import COMMAND, ROOT, RunningService, make_environment, run_service
from service_tests.support.versions import read_artifact_version
from service_tests.support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

FAILED = "nightly run failed"


def install_command(folder: Path) -> Path:
    """Create the folder with a `nextup` executable that runs this checkout."""
    folder.mkdir()
    python, option, code = COMMAND
    (folder / "nextup").write_text(f"#!/bin/sh\nexec '{python}' {option} '{code}' \"$@\"\n")
    (folder / "nextup").chmod(0o755)
    return folder


def extract_nightly_script() -> str:
    """The script as the shell receives it: compose escapes a dollar by doubling it."""
    text = (ROOT / "docker-compose.yml").read_text().split("\n  nightly:\n")[1]
    script = text.split("      - |\n")[1].split("\n    environment:\n")[0]
    return textwrap.dedent(script).replace("$$", "$")


@contextmanager
def run_nightly_script(service: RunningService, data: Path, repository: Path) -> Iterator[Callable[[], str]]:
    """Run the script every second until the block ends; yields a function that reads its output."""
    output_file = repository.parent / "nightly.log"
    variables = make_environment(
        data,
        PATH=f"{install_command(repository.parent / 'bin')}:{os.environ['PATH']}",
        NEXTUP_ARTIFACT=str(repository),
        SERVICE=service.url,
        TRAIN_OPTIONS=" ".join(SMALL),
        PUBLISH_OPTIONS="--force",  # one epoch does not beat counts of a cyclic log
        EVERY_S="1",
    )
    with output_file.open("w") as output:
        script = subprocess.Popen(
            ["sh", "-c", extract_nightly_script()],
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield output_file.read_text
    finally:
        os.killpg(script.pid, signal.SIGTERM)
        script.wait(20)


def post_events(service: RunningService, users: list[str], item: str, minute: int) -> None:
    """Store an event with this item for each of the users."""
    timestamp = 1_700_000_000 + 60 * minute
    events = [{"user_id": user, "item_id": item, "timestamp": timestamp} for user in users]
    response = httpx.post(f"{service.url}/events", json={"events": events}, timeout=60)
    assert (response.status_code, response.json()["stored"]) == (202, len(events)), response.text


def has_item(service: RunningService, item: str) -> bool:
    return httpx.get(f"{service.url}/items/{item}", timeout=60).status_code == 200


def test_nightly_runs_train_on_new_events_without_failing_a_request(tmp_path: Path) -> None:
    """An item that is new today is in tomorrow's catalogue, while requests and events keep arriving."""
    data, repository = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(repository, num_items=ITEMS))
    users = [f"u{n}" for n in range(USERS)]
    with run_service(data, "--artifact", str(repository), **LONG_DEADLINE) as service:
        for minute in range(EVENTS):
            for number, user in enumerate(users[:ITEMS]):
                item = f"i{(number + minute) % ITEMS + 1}"
                post_events(service, [user, users[number + ITEMS]], item, minute)
        post_events(service, users[:10], "new-today", EVENTS)
        assert not has_item(service, "new-today")
        with (
            run_constant_load(service.url, BODIES) as tally,
            run_nightly_script(service, data, repository) as read_output,
        ):
            wait_until(lambda: has_item(service, "new-today") or FAILED in read_output(), TIMEOUT_S, read_output)
            second = get_active_version(service)
            assert second != first, read_output()
            post_events(service, users[10:20], "new-tomorrow", EVENTS + 1)
            wait_until(lambda: has_item(service, "new-tomorrow") or FAILED in read_output(), TIMEOUT_S, read_output)
            third = get_active_version(service)
            assert third not in {first, second}, read_output()
            wait_for_more_responses(tally)
        assert tally.failures == []
        assert {first, second, third} <= set(tally.versions)
        histories = [httpx.get(f"{service.url}/users/{user}/history", timeout=60).json()["events"] for user in users]
        assert [len(events) for events in histories] == [EVENTS + 1] * 20 + [EVENTS] * 20, "no event was lost"
        assert httpx.get(f"{service.url}/items/i1", timeout=60).json()["title"] == "Item number 1", (
            "titles survive retraining"
        )
        assert third in read_output()


def test_failed_nightly_run_keeps_the_previous_version_and_is_retried(tmp_path: Path) -> None:
    data, repository = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(repository, num_items=ITEMS))
    with run_service(data, "--artifact", str(repository)) as service:
        # There are no events to train on.
        with run_nightly_script(service, data, repository) as read_output:
            wait_until(lambda: read_output().count(FAILED) >= 2, TIMEOUT_S, read_output)
        assert get_active_version(service) == first
        assert "nextup: error: " in read_output()
        assert not (repository / "current").exists()
