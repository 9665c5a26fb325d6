"""URLs of Redis: parsed and judged as a whole before anything connects, and never quoted with a secret.

redis://[user:password@]host[:port][/db]      rediss://… the same with TLS      unix:///path[?db=0]
redis+sentinel://[user:password@]host[:port],host[:port]…/service[/db]          rediss+sentinel://… with TLS
redis+cluster://[user:password@]host[:port],host[:port]…                        rediss+cluster://… with TLS

Errors name the part that is wrong and do not quote it, because a password that is not percent-encoded may be in any
part of the URL.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from app.redaction import HIDDEN
from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES

Kind = Literal["server", "socket", "sentinel", "cluster"]

SCHEMES: Mapping[str, tuple[Kind, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("socket", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
"""Kind of Redis and whether connections use TLS, by scheme."""
REDIS_PORT, SENTINEL_PORT, MAX_PORT = 6379, 26379, 65535
MAX_DATABASE = 1_000_000
_OTHER_PLACES = {
    "socket_timeout": "set NEXTUP_REDIS_TIMEOUT_MS instead",
    "socket_connect_timeout": "set NEXTUP_REDIS_TIMEOUT_MS instead",
    "timeout": "set NEXTUP_REDIS_TIMEOUT_MS instead",
    "max_connections": "set NEXTUP_REDIS_POOL instead",
    "ssl": "use a scheme with rediss instead",
}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL; `options` are keyword arguments of a connection, `text` is the URL without secrets."""

    kind: Kind
    tls: bool
    text: str
    hosts: tuple[tuple[str, int], ...] = ()
    socket: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_redis_url(url: str) -> RedisUrl:
    """Parse a URL; ValueError if any part of it is wrong or would be ignored, without quoting that part."""
    if url != url.strip() or url[:1] in ("'", '"'):
        raise ValueError("has quotes or blanks around it; remove them")
    scheme, separator, remainder = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"must begin with {', '.join(f'{name}://' for name in SCHEMES)}")
    kind, tls = SCHEMES[scheme]
    if "#" in remainder:
        raise ValueError("contains a #; write it as %23 if it is part of the password")
    address, _, query = remainder.partition("?")
    authority, slash, path = address.partition("/")
    is_path = kind == "socket" and "@" not in authority  # of a socket, which may contain an @
    for part, character, code in ((query, "?", "%3F"), ("" if is_path else path, "/", "%2F")):
        if "@" in part:
            socket = ", or the @ of the path as %40" if kind == "socket" and character == "/" else ""
            raise ValueError(
                f"contains an @ after a {character}; write a {character} of the password as {code}{socket}"
            )
    userinfo, _, hosts = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    options = _parse_options(query, tls)
    username, password = options.pop("username", unquote(username)), options.pop("password", unquote(password))
    if username and not password:
        raise ValueError("names a user without a password; write :password@ if it is the password")
    return RedisUrl(
        kind=kind,
        tls=tls,
        text=f"{scheme}://{f'{HIDDEN}@' if username or password else ''}{hosts}{slash}{path}",
        username=username or None,
        password=password or None,
        **_parse_place(kind, hosts, f"{slash}{path}", options.pop("db", None)),
        options=options,
    )


def _parse_place(kind: Kind, hosts: str, path: str, db: int | None) -> dict[str, Any]:
    """Parse the hosts and the path, whose meaning depends on the kind of Redis."""
    if kind == "socket":
        return {"socket": _check_socket(hosts, unquote(path)), "db": db or 0}
    parts = [unquote(part) for part in path.split("/") if part]
    default_port = SENTINEL_PORT if kind == "sentinel" else REDIS_PORT
    addresses = hosts.split(",") if kind != "server" else [hosts or "localhost"]
    place: dict[str, Any] = {
        "hosts": tuple(_parse_host_and_port(text, number, default_port) for number, text in enumerate(addresses, 1))
    }
    if kind == "sentinel":
        if not parts:
            raise ValueError("must name the service that the Sentinels monitor: /mymaster")
        place["service"] = parts.pop(0)
    if len(parts) > 1 or (parts and not _is_database(parts[0])):
        raise ValueError("has a path that is not the number of a database, such as /0")
    numbers = {int(part) for part in parts} | ({db} if db is not None else set())
    if len(numbers) > 1:
        raise ValueError("names two different databases, in the path and in the option db; leave one of them out")
    place["db"] = numbers.pop() if numbers else 0
    if kind == "cluster" and place["db"]:
        raise ValueError("names a database, but a cluster has only database 0; leave it out")
    return place


def _parse_host_and_port(text: str, number: int, default_port: int) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", text.strip())
    if match is None or not 1 <= int(match[2] or default_port) <= MAX_PORT:
        several = "," in text
        hint = "several hosts need redis+cluster:// or redis+sentinel://" if several else (
            "write host:port, an IPv6 address in [], and special characters of a password percent-encoded"
        )  # fmt: skip
        raise ValueError(f"host {number} is not host:port with a port from 1 to {MAX_PORT}; {hint}")
    return match[1].strip("[]"), int(match[2] or default_port)


def _check_socket(hosts: str, path: str) -> str:
    if hosts or path in ("", "/"):
        raise ValueError("must have the absolute path of a Unix socket after three slashes: unix:///run/redis.sock")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"has a path of more than {MAX_SOCKET_PATH_BYTES} bytes, which no Unix socket can have")
    return path


def _parse_options(query: str, tls: bool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ValueError(_describe_unknown_option(name))
        if name in options:
            raise ValueError(f"has the option {name} twice")
        if name.startswith("ssl_") and not tls:
            raise ValueError(f"has the option {name}, which needs TLS: use a scheme with rediss")
        try:
            options[name] = OPTIONS[name](value)
        except ValueError as error:
            raise ValueError(f"has a wrong option: {name} {error}") from None
    return options


def _describe_unknown_option(name: str) -> str:
    if name in _OTHER_PLACES:
        return f"has the option {name}, which is not supported: {_OTHER_PLACES[name]}"
    # An unknown name may be a part of a password with a `?`; only a word that is close to an option is quoted.
    if close := get_close_matches(name, OPTIONS, n=1):
        return f"has an unknown option; the nearest one is {close[0]}"
    return f"has an unknown option; options are {', '.join(OPTIONS)} (write ? and & of a password as %3F and %26)"


def _is_database(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= MAX_DATABASE


def _parse_database(text: str) -> int:
    if not _is_database(text):
        raise ValueError("must be the number of a database")
    return int(text)


def _parse_seconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise ValueError("must be a number of seconds")
    return int(text)


def _parse_flag(text: str) -> bool:
    if text.lower() not in ("true", "yes", "1", "false", "no", "0"):
        raise ValueError("must be true or false")
    return text.lower() in ("true", "yes", "1")


def _check_name(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be printable characters without blanks")
    return text


def _check_file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError("must be the path of a file on this machine")
    if not os.access(text, os.R_OK):
        raise ValueError("names a file that this user cannot read")
    return text


def _check_requirement(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError("must be required, optional or none")
    return text


OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "db": _parse_database,
    "username": str,
    "password": str,
    "client_name": _check_name,
    "health_check_interval": _parse_seconds,
    "socket_keepalive": _parse_flag,
    "ssl_ca_certs": _check_file,
    "ssl_certfile": _check_file,
    "ssl_keyfile": _check_file,
    "ssl_cert_reqs": _check_requirement,
    "ssl_check_hostname": _parse_flag,
}
"""Options that every kind of Redis supports, with the conversion of their values; ssl_ ones need TLS."""
