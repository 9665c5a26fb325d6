"""Responses as bytes of HTTP/1.1, for those that are sent without the application."""

from http import HTTPStatus

from starlette.responses import Response

from app.http.security_headers import NO_STORE, NOSNIFF

CLOSE_HEADER = (b"connection", b"close")
"""Asks the client to close the connection after this response."""


def encode_raw_response(response: Response, *more_headers: tuple[bytes, bytes]) -> bytes:
    """Encode a response with a JSON body, with its security headers and `more_headers`."""
    lines = [b"HTTP/1.1 %d %s" % (response.status_code, HTTPStatus(response.status_code).phrase.encode())]
    lines += [name + b": " + value for name, value in (*response.raw_headers, NOSNIFF, NO_STORE, *more_headers)]
    return b"\r\n".join([*lines, b"", bytes(response.body)])
