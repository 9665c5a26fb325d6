"""Random bytes that look more or less like requests, from a seed."""

import json
import random
from typing import Any

METHODS = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH", "CONNECT", "TRACE", "get", "PRI", "\x00", "Ä"]
PATHS = [
    *("/recommend", "/recommend/batch", "/similar", "/events", "/users/u1/history", "/users/u1", "/users/u1/merge"),
    *("/items/i1", "/models", "/models/x/activate", "/livez", "/readyz", "/metrics", "/", "/openapi.json", "*", ""),
    *("/users/%0A/history", "/users/%ff", "/items/%", "/items/%zz", "//", "/../..", "/recommend?x=" + "y" * 300),
    *("http://localhost/livez", "http://[::1", "/\u2028", "/items/a b", "/users/" + "%F0%9F%8D%8E" * 40 + "/history"),
]
VERSIONS = [*["HTTP/1.1"] * 30, "HTTP/1.0", "HTTP/2.0", "HTTP/9", "HTTP", ""]
HEADERS = [
    *("Host: localhost", "Host: localhost", "Host: evil.example", "Host:", "Content-Type: application/json", "A: b"),
    *("Content-Type: text/plain", "Connection: close", "Connection: keep-alive, upgrade", "Upgrade: websocket"),
    *(
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Expect: 100-continue",
        "Expect: x",
        "X-Request-ID: \x7f",
    ),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: x", "Content-Length: 5"),
    *("Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 0x10", "Content-Encoding: gzip"),
    *("X-Request-Deadline-Ms: 1", "X-Request-Deadline-Ms: -1", "Authorization: Bearer \xff", "Cookie: " + "c" * 3000),
    *("Origin: null", "Sec-Fetch-Site: cross-site", "traceparent: 00-0-0-0", "Accept: " + "*/*," * 50, " folded: x"),
    *("no colon", ": no name", "Name : space", "X: \r", "X: \x00", "X" * 5000 + ": y"),
]
VALUES: list[Any] = [
    *("u1", "i1", "", "x" * 129, "\u0000", "\ud800", 0, -1, 1.5, 1e308, 2**70, True, None, [], {}, ["i1"], [1], [None]),
    *([["i1"]], {"a": 1}, ["i1"] * 500, [{"user_id": "u1", "item_id": "i1"}], [{"history": ["i1"]}], [{}] * 30),
]
FIELDS = [
    *("user_id", "history", "k", "exclude", "candidates", "categories", "explain", "include", "requests", "events"),
    *("item_id", "from", "min_history_version", "unknown"),
]

VALID: list[dict[str, Any]] = [
    *({"user_id": "u1"}, {"history": ["i1", "i2"], "k": 3}, {"requests": [{"history": ["i1"]}, {"user_id": "u2"}]}, {}),
    *({"events": [{"user_id": "u1", "item_id": "i1"}]}, {"item_id": "i1"}, {"from": "u9"}),
]


def build_raw_request(rng: random.Random) -> bytes:
    """Build the bytes of one connection: noise, a damaged request, or several requests."""
    kind = rng.random()
    if kind < 0.08:
        return rng.randbytes(rng.randrange(1, 400))
    content = b"".join(_build_request(rng) for _ in range(rng.choice([1, 1, 1, 2, 5])))
    if kind < 0.4:
        return _damage(content, rng)
    return content


def _build_request(rng: random.Random) -> bytes:
    lines = [f"{rng.choice(METHODS[:4] * 20 + METHODS)} {rng.choice(PATHS[:14] * 9 + PATHS)} {rng.choice(VERSIONS)}"]
    if rng.random() < 0.9:
        lines += ["Host: localhost", "Content-Type: application/json"]
    lines += rng.choices(HEADERS, k=rng.choice([0, 0, 0, 0, 1, 3]))
    body = _build_body(rng)
    if rng.random() < 0.8:
        lines.append(f"Content-Length: {max(0, len(body) + rng.choice([0, 0, 0, 0, 0, -1, 3]))}")
    else:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) + rng.choice([0, 0, 0, 1]), body)
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def _build_body(rng: random.Random) -> bytes:
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(60))
    valid = rng.choice(VALID)
    return json.dumps(
        valid | {name: rng.choice(VALUES) for name in rng.sample(FIELDS, rng.choice([0, 0, 1, 2]))}
    ).encode()


def _damage(content: bytes, rng: random.Random) -> bytes:
    """Cut, repeat or replace some bytes."""
    damaged = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(damaged)) if damaged else 0
        end = start + rng.choice([1, 1, 2, 30])
        damaged[start:end] = rng.choice([b"", b"\r\n", b"\x00", rng.randbytes(3), bytes(damaged[start:end]) * 2])
    return bytes(damaged)
