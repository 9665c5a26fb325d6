"""`nextup bench traffic`: synthetic users of a running service."""

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import pytest

from app.bench.synthetic_users import build_request_bodies, make_user_ids, split_into_rounds
from app.commands.main import main
from app.synthetic_users import TRAFFIC_PREFIX
from service_tests.support.nextup_process import COMMAND, RunningService, find_free_port, make_environment, run_service
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def service(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run_service(tmp_path_factory.mktemp("traffic"), "--artifact", str(tiny_artifact)) as running:
        yield running


def count_recommendations(service: RunningService) -> float:
    lines = httpx.get(f"{service.url}/metrics", timeout=60).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("nextup_recommendations_total"))


@pytest.mark.slow
def test_synthetic_users_have_histories_and_send_requests_and_events(
    service: RunningService, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--rate", "100", "--writes", "0.3", "--users", "7", "--seconds", "1"]
    assert main(["bench", "traffic", "--url", service.url, *options]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["errors"] == 0
    assert 50 < result["answered"] < 160, "the rate, not the capacity of the service"
    assert 5 < result["events"] < 60
    for user in make_user_ids(7):
        assert len(httpx.get(f"{service.url}/users/{user}/history", timeout=60).json()["events"]) >= 2
    response = httpx.post(f"{service.url}/recommend", json={"user_id": f"{TRAFFIC_PREFIX}0"}, timeout=60).json()
    assert response["served_by"] == "model"


@pytest.mark.slow
def test_sigterm_ends_the_command_with_its_final_line(service: RunningService, tmp_path: Path) -> None:
    initial_count = count_recommendations(service)
    process = subprocess.Popen(
        [*COMMAND, "bench", "traffic", "--url", service.url, "--users", "3", "--rate", "50"],
        env=make_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: count_recommendations(service) > initial_count, 60, lambda: "no requests arrived")
    assert process.poll() is None, "it runs until interrupted"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(out.splitlines()[-1]).keys() == {"answered", "events", "errors"}
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("option", "value"), [("users", "0"), ("rate", "0"), ("writes", "1"), ("seconds", "-1"), ("url", "ftp://x")]
)
def test_invalid_option_error_states_option_and_value(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "traffic", f"--{option}", value]) == 1
    error = capsys.readouterr().err
    assert f"--{option} must be " in error
    assert f"(got {value})" in error


def test_missing_service_is_a_one_line_error(capsys: pytest.CaptureFixture[str]) -> None:
    port = find_free_port()
    assert main(["bench", "traffic", "--url", f"http://127.0.0.1:{port}"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"127.0.0.1:{port} does not respond" in line


def test_few_users_send_most_requests() -> None:
    reads, writes = build_request_bodies(make_user_ids(100), ["a", "b"], 5, random.Random(0))
    users = [json.loads(body)["user_id"] for body in reads]
    assert users.count(f"{TRAFFIC_PREFIX}0") > 5 * users.count(f"{TRAFFIC_PREFIX}50") > 0
    assert [json.loads(body)["events"][0]["user_id"] for body in writes] == users


def test_rounds_sum_to_the_duration_or_are_endless() -> None:
    assert list(split_into_rounds(70, 30)) == [30, 30, 10]
    assert list(islice(split_into_rounds(0, 30), 4)) == [30] * 4
