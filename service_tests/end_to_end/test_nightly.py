"""The nightly container's own script, run on this machine: in the morning the service has a model of what it stored."""

import os
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service_tests.end_to_end.test_publish import BODIES, EVENTS, ITEMS, SMALL, USERS, active, some_more, wait_until
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.constant_load import run_constant_load
from service_tests.support.nextup_process import COMMAND, ROOT, RunningService, make_environment, run_service
from service_tests.support.versions import read_artifact_version

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


@contextmanager
def nights(served: RunningService, data: Path, shelf: Path, **variables: str) -> Iterator[Callable[[], str]]:
    """The container's script until the block ends; what it has told so far."""
    output_file = shelf.parent / "told"
    values = make_environment(
        data,
        PATH=f"{with_the_command(shelf.parent / 'bin')}:{os.environ['PATH']}",
        NEXTUP_ARTIFACT=str(shelf),
        SERVICE=served.url,
        TRAIN_OPTIONS=" ".join(SMALL),
    )
    with output_file.open("w") as output:
        script = subprocess.Popen(
            ["sh", "-c", nightly_script()],
            env=values | variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield output_file.read_text
    finally:
        os.killpg(script.pid, signal.SIGTERM)
        script.wait(20)


def happened(served: RunningService, users: list[str], item: str, minute: int) -> None:
    """Each of the users meets the item, over HTTP."""
    at = 1_700_000_000 + 60 * minute
    events = [{"user_id": user, "item_id": item, "timestamp": at} for user in users]
    answer = httpx.post(f"{served.url}/events", json={"events": events})
    assert (answer.status_code, answer.json()["stored"]) == (202, len(events)), answer.text


def knows(served: RunningService, item: str) -> bool:
    return httpx.get(f"{served.url}/items/{item}").status_code == 200


def test_two_nights_turn_events_into_versions_and_no_caller_notices(tmp_path: Path) -> None:
    """What nobody had heard of in the evening is an item in the morning, while requests and events keep coming."""
    data, shelf = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(shelf, num_items=ITEMS))
    users = [f"u{n}" for n in range(USERS)]
    with run_service(data, "--artifact", str(shelf)) as served:
        for minute in range(EVENTS):
            for number, user in enumerate(users[:ITEMS]):
                item = f"i{(number + minute) % ITEMS + 1}"
                happened(served, [user, users[number + ITEMS]], item, minute)
        happened(served, users[:10], "new-today", EVENTS)
        assert not knows(served, "new-today")
        with run_constant_load(served.url, BODIES) as tally, nights(served, data, shelf, EVERY_S="1") as told:
            wait_until(lambda: knows(served, "new-today") or FAILED in told(), "the first night ends")
            second = active(served)
            assert second != first, told()
            happened(served, users[10:20], "new-tomorrow", EVENTS + 1)
            wait_until(lambda: knows(served, "new-tomorrow") or FAILED in told(), "a later night ends")
            third = active(served)
            assert third not in {first, second}, told()
            some_more(tally)
        assert tally.failures == []
        assert {first, second, third} <= set(tally.versions)
        kept = [httpx.get(f"{served.url}/users/{user}/history").json()["events"] for user in users]
        assert [len(events) for events in kept] == [EVENTS + 1] * 20 + [EVENTS] * 20, "no night lost an event"
        assert httpx.get(f"{served.url}/items/i1").json()["title"] == "Item number 1", "titles outlive the versions"
        assert third in told()


def test_nights_that_fail_leave_the_old_version_serving_and_the_next_ones_try_again(tmp_path: Path) -> None:
    data, shelf = tmp_path / "data", tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(shelf, num_items=ITEMS))
    with run_service(data, "--artifact", str(shelf)) as served:
        happened(served, ["u1"], "i1", 0)
        with nights(served, data, shelf, EVERY_S="1") as told:
            wait_until(lambda: told().count(FAILED) >= 2, "two nights without enough to learn from")
        assert active(served) == first
        assert "nextup: error: " in told()
        assert not (shelf / "current").exists()
