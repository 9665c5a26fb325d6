"""Log lines have one format, name their request, and contain no user or item ids."""

import json
import logging
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.api_keys import generate_key
from app.telemetry.logs import JsonFormatter, TextFormatter
from app.telemetry.request_context import CURRENT_REQUEST_ID
from service_tests.support.nextup_process import run_service
from service_tests.support.otlp_receiver import run_receiver
from service_tests.support.service import Service

pytestmark = pytest.mark.process

SECRET_USER, SECRET_ITEM = "user-never-in-a-log", "item-never-in-a-log"


def create_record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("nextup", logging.WARNING, "file.py", 1, message, arguments, None)


def test_json_line_has_only_fields_with_a_value() -> None:
    line = JsonFormatter().format(create_record('a "quoted"\nmessage of %s', "two lines"))
    assert "\n" not in line
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {"level": "warning", "logger": "nextup", "message": 'a "quoted"\nmessage of two lines'}


def test_both_formats_contain_the_request_id() -> None:
    before = CURRENT_REQUEST_ID.set("abc")
    try:
        assert json.loads(JsonFormatter().format(create_record("so")))["request_id"] == "abc"
        assert TextFormatter().format(create_record("so")).endswith("WARNING nextup: so [request_id=abc]")
    finally:
        CURRENT_REQUEST_ID.reset(before)
    assert TextFormatter().format(create_record("so")).endswith("WARNING nextup: so")


def test_error_includes_its_traceback_in_one_line() -> None:
    try:
        raise RuntimeError("the cause")
    except RuntimeError:
        failed = create_record("it failed")
        failed.exc_info = sys.exc_info()
    line = JsonFormatter().format(failed)
    assert "\n" not in line
    assert json.loads(line)["error"].splitlines()[-1] == "RuntimeError: the cause"


@pytest.mark.anyio
async def test_lines_of_a_request_contain_its_id_and_later_lines_do_not(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(service.state["users"], "read_history", fail)
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    await service.http.get("/users/u/history", headers={"X-Request-ID": "find-me"})
    logging.getLogger("nextup").warning("afterwards")
    during, after = (json.loads(line) for line in caplog.text.splitlines())
    assert during["request_id"] == "find-me"
    assert "request_id" not in after


@pytest.mark.anyio
async def test_lines_of_a_traced_request_contain_its_trace(
    service_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    with run_receiver() as receiver:
        async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=0.0) as service:
            monkeypatch.setattr(service.state["users"], "read_history", fail)
            caplog.clear()  # a start without native code logs a warning
            response = await service.http.get("/users/u/history")
    [line] = [json.loads(line) for line in caplog.text.splitlines()]
    assert line["trace_id"] == response.headers["traceresponse"].split("-")[1], "sampled or not"


@pytest.mark.slow
def test_service_logs_json_without_user_or_item_ids(tiny_artifact: Path, tmp_path: Path) -> None:
    with (
        run_receiver() as receiver,
        run_service(
            tmp_path,
            "--artifact",
            str(tiny_artifact),
            NEXTUP_LOG_FORMAT="json",
            NEXTUP_OTLP_ENDPOINT=receiver.url,
            NEXTUP_TRACE_SAMPLE_RATIO="1",
        ) as served,
        httpx.Client(base_url=served.url, timeout=60) as http,
    ):
        _use_everything(http)
        _send_invalid_http(served.url)
        response = http.post("/models/no-such-version/activate")
        assert response.status_code == 404
    lines = [json.loads(line) for line in served.output]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert f"nextup serves {tiny_artifact} on {served.url}" in [line["message"] for line in lines]
    by_logger = {line["logger"]: line for line in lines}
    assert any("malformed" in line["message"] for line in lines), "the parser's lines have the same format"
    assert any(name.startswith("models.") for name in by_logger), "info lines are logged"
    text = "\n".join(served.output)
    assert SECRET_USER not in text
    assert SECRET_ITEM not in text


def _use_everything(http: httpx.Client) -> None:
    """Send user and item ids in every valid and invalid way."""
    event = {"user_id": SECRET_USER, "item_id": SECRET_ITEM}
    known_item = {"user_id": SECRET_USER, "item_id": "i7"}
    status = {
        http.post("/events", json={"events": [event, known_item, event | {"timestamp": "never"}]}).status_code,
        http.post("/recommend", json={"user_id": SECRET_USER}).status_code,
        http.post("/recommend", json={"history": [SECRET_ITEM, "i1"], "candidates": [SECRET_ITEM]}).status_code,
        http.post("/recommend", json={"user_id": SECRET_USER, "k": SECRET_ITEM}).status_code,
        http.post("/recommend", json={"user_id": SECRET_USER, "min_history_version": 10**6}).status_code,
        http.post("/recommend/batch", json={"requests": [{"user_id": SECRET_USER, "k": 0}]}).status_code,
        http.post("/similar", json={"item_id": SECRET_ITEM}).status_code,
        http.get(f"/items/{SECRET_ITEM}").status_code,
        http.get(f"/users/{SECRET_USER}/history").status_code,
        http.post(f"/users/{SECRET_USER}/merge", json={"from": SECRET_USER}).status_code,
        http.delete(f"/users/{SECRET_USER}").status_code,
        http.get(f"/{SECRET_USER}?item={SECRET_ITEM}").status_code,
    }
    assert {200, 202, 404, 409, 422} <= status


def _send_invalid_http(url: str) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as connection:
        connection.sendall(f"{SECRET_USER} {SECRET_ITEM}\r\n\r\n".encode())
        connection.recv(1000)


def test_passwords_and_keys_are_removed_from_lines_and_tracebacks() -> None:
    token, _ = generate_key("shop", ["read"])
    try:
        raise ValueError(f"cannot connect to redis://me:s3cret@cache:6379 with {token}")
    except ValueError:
        error = sys.exc_info()
    arguments = ("http://u:s3cret@h", f"Bearer {token}")
    record = logging.LogRecord("nextup", logging.ERROR, __file__, 1, "to %s as %s", arguments, error)
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record)
        assert "s3cret" not in line
        assert token not in line
        assert "redis://***@cache:6379" in line
        assert "to http://***@h as Bearer ***" in line
