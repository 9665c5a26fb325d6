"""Commands and a service that answers late, as an overloaded one does."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.cli import running_service
from app.cli.running_service import RunningService

VERSIONS = {"active": "v2", "target_version": "v2", "previous_version": "v1"}
DELAY_S = 0.6


class LateHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(DELAY_S)
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the client has gone
            self.wfile.write(json.dumps(VERSIONS).encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def late_service() -> Iterator[RunningService]:
    with ThreadingHTTPServer(("127.0.0.1", 0), LateHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield RunningService(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_versions_of_a_service_that_is_slower_than_a_connection_are_read(
    late_service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_service, "CONNECT_TIMEOUT_S", DELAY_S / 4)
    assert late_service.read_versions() == VERSIONS


def test_service_that_does_not_answer_in_time_is_not_taken_for_another_program(
    late_service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_service, "ANSWER_TIMEOUT_S", DELAY_S / 4)
    with pytest.raises(ValueError, match=r"did not answer within 0.15 s; try again, or check that it is a nextup"):
        late_service.read_versions()
