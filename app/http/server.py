"""Options of the HTTP server: how long idle connections stay open, and answers to requests that are not HTTP."""

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from app.http.problems import build_problem
from app.settings import Settings
from app.telemetry.request_context import generate_id

NOT_HTTP = "the request is not valid HTTP/1.1; the connection is closed"


class _ProblemResponses:
    """Answers a request that the parser rejects, which no middleware sees, like every other error."""

    transport: Any

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the same text for every fault
        response = build_problem(400, "Bad request", NOT_HTTP, generate_id())
        head = [b"HTTP/1.1 400 Bad Request", *(name + b": " + value for name, value in response.raw_headers)]
        self.transport.write(b"\r\n".join([*head, b"connection: close", b"", bytes(response.body)]))
        self.transport.close()


class ProblemH11Protocol(_ProblemResponses, H11Protocol):
    """uvicorn's parser in Python."""


try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # a platform without httptools
    PROTOCOL: type = ProblemH11Protocol
else:

    class ProblemHttpToolsProtocol(_ProblemResponses, HttpToolsProtocol):
        """uvicorn's parser in C; a class of this module, because worker processes receive it pickled."""

    PROTOCOL = ProblemHttpToolsProtocol


def build_server_options(settings: Settings) -> dict[str, Any]:
    """Build the options of `uvicorn.Config` that depend on the settings of the HTTP edge."""
    return {"http": PROTOCOL, "timeout_keep_alive": max(1, round(settings.keep_alive_s))}
