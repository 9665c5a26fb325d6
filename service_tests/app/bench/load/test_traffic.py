"""`nextup bench traffic`: made-up visitors of a service that runs."""

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import pytest

from app.bench.load.synthetic_users import PREFIX, build_request_bodies, make_user_ids, rounds
from app.commands.main import main
from service_tests.support.nextup_process import COMMAND, RunningService, find_free_port, make_environment, run_service
from service_tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def served(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run_service(tmp_path_factory.mktemp("traffic"), "--artifact", str(tiny_artifact)) as running:
        yield running


def recommended(served: RunningService) -> float:
    """Recommendations of the service so far."""
    lines = httpx.get(f"{served.url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("nextup_recommendations_total"))


@pytest.mark.slow
def test_visitors_have_histories_ask_and_do_things(served: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    what = ["--rate", "100", "--writes", "0.3", "--users", "7", "--seconds", "1"]
    assert main(["bench", "traffic", "--url", served.url, *what]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["errors"] == 0
    assert 50 < found["answered"] < 160, "at the rate, and not as fast as it goes"
    assert 5 < found["events"] < 60
    for user in make_user_ids(7):
        assert len(httpx.get(f"{served.url}/users/{user}/history").json()["events"]) >= 2
    answer = httpx.post(f"{served.url}/recommend", json={"user_id": f"{PREFIX}0"}).json()
    assert answer["served_by"] == "model"


@pytest.mark.slow
def test_stopped_as_a_container_it_ends_well_and_with_its_last_line(served: RunningService, tmp_path: Path) -> None:
    before = recommended(served)
    process = subprocess.Popen(
        [*COMMAND, "bench", "traffic", "--url", served.url, "--users", "3", "--rate", "50"],
        env=make_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: recommended(served) > before, 60, lambda: "it asked nothing")
    assert process.poll() is None, "it goes on until it is stopped"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert json.loads(out.splitlines()[-1]).keys() == {"answered", "events", "errors"}
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("option", "value"), [("users", "0"), ("rate", "0"), ("writes", "1"), ("seconds", "-1"), ("url", "ftp://x")]
)
def test_what_makes_no_sense_is_refused_by_name(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "traffic", f"--{option}", value]) == 1
    assert f"--{option} is {value}" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    port = find_free_port()
    assert main(["bench", "traffic", "--url", f"http://127.0.0.1:{port}"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"127.0.0.1:{port} does not answer" in line


def test_few_visitors_come_often() -> None:
    reads, writes = build_request_bodies(make_user_ids(100), ["a", "b"], 5, random.Random(0))
    asked = [json.loads(body)["user_id"] for body in reads]
    assert asked.count(f"{PREFIX}0") > 5 * asked.count(f"{PREFIX}50") > 0
    assert [json.loads(body)["events"][0]["user_id"] for body in writes] == asked


def test_rounds_make_up_the_time_or_go_on_for_ever() -> None:
    assert list(rounds(70, 30)) == [30, 30, 10]
    assert list(islice(rounds(0, 30), 4)) == [30] * 4
