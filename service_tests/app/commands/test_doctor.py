"""`nextup doctor`: findings about real folders, ports, Redis servers and artifacts."""

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from app.commands.main import main
from service_tests.support.artifacts import record_event_types
from service_tests.support.nextup_process import run_service

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("NEXTUP_")]:
        monkeypatch.delenv(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("NEXTUP_PORT", str(port))
    monkeypatch.setenv("NEXTUP_DATA_DIR", str(tmp_path / "var"))


def diagnose(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    status = main(["doctor", *options])
    text = capsys.readouterr().out
    result = json.loads(text.splitlines()[-1])
    assert result["passed"] == (status == 0)
    return status, {check["subject"]: check for check in result["checks"]}, text


def test_everything_is_in_order_with_an_artifact_and_a_store(
    tiny_artifact: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTUP_REDIS_URL", redis_url)
    status, checks, text = diagnose(capsys, "--artifact", str(tiny_artifact))
    assert status == 0
    assert {check["status"] for check in checks.values()} <= {"ok", "warning"}
    assert "60 items" in checks["artifact"]["finding"]
    assert checks["redis"]["finding"].startswith("NEXTUP_REDIS_URL answers")
    assert "10 checks passed" in text


def test_without_settings_an_embedded_redis_and_a_missing_artifact_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, checks, _ = diagnose(capsys)
    assert status == 0
    assert "a service starts" in checks["redis"]["finding"]
    assert "-server)" in checks["redis"]["finding"]
    assert checks["artifact"]["status"] == "warning"
    assert "nextup train" in checks["artifact"]["action"]


def test_data_folder_that_no_server_reads_is_a_failure(
    tiny_artifact: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "var" / "redis").mkdir(parents=True)
    (tmp_path / "var" / "redis" / "server.json").write_text('{"server": "valkey", "version": "99.0.0"}')
    status, checks, _ = diagnose(capsys, "--artifact", str(tiny_artifact))
    assert status == 1
    assert "was last written by Valkey 99.0.0" in checks["redis"]["finding"]
    assert "install Valkey 99.0 or later" in checks["redis"]["action"]


@pytest.mark.parametrize(
    ("variable", "value", "subject", "finding"),
    [
        ("NEXTUP_REDIS_URL", "redis://shop:hunter2@127.0.0.1:1", "redis", "does not answer"),
        ("NEXTUP_DATA_DIR", "/proc/none", "data folder", "NEXTUP_DATA_DIR /proc/none cannot be written"),
        ("NEXTUP_HOST", "192.0.2.1", "settings", "NEXTUP_"),
        ("NEXTUP_PORT", "eighty", "settings", "NEXTUP_PORT"),
    ],
)
def test_wrong_settings_fail_with_a_finding_and_an_action(
    variable: str,
    value: str,
    subject: str,
    finding: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    status, checks, text = diagnose(capsys)
    assert status == 1
    assert checks[subject]["status"] == "failed"
    assert finding in checks[subject]["finding"]
    assert checks[subject]["action"]
    assert "hunter2" not in text


def test_port_of_another_program_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        status, checks, _ = diagnose(capsys, "--port", port)
    assert status == 1
    assert checks["port"]["status"] == "failed"
    assert port in checks["port"]["finding"]


def test_running_service_and_free_socket_are_in_order(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_service(tmp_path / "var", "--artifact", str(tiny_artifact)) as service:
        _, checks, _ = diagnose(capsys, "--port", service.url.rpartition(":")[2])
    assert checks["port"]["finding"] == f"a nextup service answers on {service.url}"
    assert checks["redis"]["finding"].startswith("embedded Redis of a running service answers")
    monkeypatch.setenv("NEXTUP_UNIX_SOCKET", str(tmp_path / "socket"))
    _, checks, _ = diagnose(capsys)
    assert checks["port"]["finding"] == f"unix:{tmp_path}/socket is free"


def test_damaged_artifact_fails(tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_artifact, folder)
    weights = folder / "model.safetensors"
    *head, last = weights.read_bytes()
    weights.write_bytes(bytes([*head, last ^ 1]))
    status, checks, _ = diagnose(capsys, "--artifact", str(folder))
    assert status == 1
    assert checks["artifact"]["status"] == "failed"
    assert "model.safetensors" in checks["artifact"]["finding"]


def test_history_types_that_differ_from_the_training_are_a_warning(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_artifact, tmp_path / "model")
    record_event_types(tmp_path / "model", {"history": ["buy"], "entered": ["buy"]})
    _, checks, _ = diagnose(capsys, "--artifact", str(tmp_path / "model"))
    assert checks["artifact"]["status"] == "warning"
    assert "every other type did not enter those of its training" in checks["artifact"]["finding"]
    assert checks["artifact"]["action"].startswith("set NEXTUP_HISTORY_TYPES=buy")
    monkeypatch.setenv("NEXTUP_HISTORY_TYPES", "Buy")
    _, checks, _ = diagnose(capsys, "--artifact", str(tmp_path / "model"))
    assert checks["artifact"]["status"] == "ok"


def test_unknown_variable_is_a_warning_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTUP_REDIS_URI", "redis://:hunter2@db")
    _, checks, text = diagnose(capsys)
    assert checks["settings"]["status"] == "warning"
    assert "NEXTUP_REDIS_URL" in checks["settings"]["action"]
    assert "hunter2" not in text
