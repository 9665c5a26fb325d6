"""Checks on the head of a request, before its body is read: host, path, and length, type and encoding of the body."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from app.edge_settings import split_list
from app.errors import ContentTooLarge, InvalidRequest, MisdirectedRequest, ServiceError, UnsupportedMediaType
from app.settings import Settings, is_loopback

CHECKED_HEADERS = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"origin"}
    | {b"sec-fetch-site"}
)

Headers = Mapping[bytes, bytes]


class AllowedHosts:
    """Host names that a request may be sent to.

    By default a service without keys on a loopback address accepts only IP addresses and localhost: otherwise a page on
    the internet could have its own name resolve to 127.0.0.1 and call the service as its own host (DNS rebinding).
    """

    def __init__(self, names: list[str], *, only_local: bool) -> None:
        self._names = frozenset(names)
        self._suffixes = tuple(name.removeprefix("*") for name in names if name.startswith("*."))
        self._only_local = only_local
        self.includes = lru_cache(maxsize=1024)(self._includes)

    @classmethod
    def from_settings(cls, settings: Settings) -> "AllowedHosts":
        names = split_list(settings.allowed_hosts)
        is_reachable_by_pages = settings.unix_socket is None and is_loopback(settings.host)
        return cls(names, only_local=not names and not settings.has_api_keys and is_reachable_by_pages)

    def _includes(self, header: bytes) -> bool:
        host = _strip_port(header.decode("latin-1").lower())
        if self._only_local:
            return host == "localhost" or host.endswith(".localhost") or _is_address(host)
        return not self._names or "*" in self._names or host in self._names or host.endswith(self._suffixes or "\0")


class RequestChecks:
    def __init__(self, hosts: AllowedHosts, *, max_body_bytes: int) -> None:
        self._includes_host = hosts.includes
        self._max_body = max_body_bytes

    @classmethod
    def from_settings(cls, settings: Settings) -> "RequestChecks":
        return cls(AllowedHosts.from_settings(settings), max_body_bytes=settings.max_body_bytes)

    def find_fault(self, scope: Scope, headers: Headers) -> ServiceError | None:
        """Return why the request is rejected; None for a request that may proceed. `headers` are CHECKED_HEADERS."""
        host = headers.get(b"host")
        if host is not None and not self._includes_host(host):
            return MisdirectedRequest(
                f"this service does not serve the host {host[:80].decode('latin-1')!r}; add it to NEXTUP_ALLOWED_HOSTS"
            )
        if "\ufffd" in scope["path"] and not _is_utf8(scope.get("raw_path") or b"\xff"):
            return InvalidRequest.for_field("path", "must be UTF-8, percent-encoded")
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or len(length) > 18 or int(length) > self._max_body):
            return ContentTooLarge.for_limit(self._max_body)
        if b"content-encoding" in headers and headers[b"content-encoding"].strip().lower() not in (b"identity", b""):
            encoding = headers[b"content-encoding"][:80].decode("latin-1")
            return UnsupportedMediaType(
                f"Content-Encoding must be identity (got {encoding}); send the body uncompressed"
            )
        # The first comparison decides almost every request.
        if headers.get(b"content-type") != b"application/json" and scope["method"] == "POST":
            media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if media_type != b"application/json" and _requires_json(headers):
                detail = f"Content-Type must be application/json (got {media_type[:80].decode('latin-1') or 'none'})"
                return UnsupportedMediaType(detail)
        return None


def _is_utf8(raw_path: bytes) -> bool:
    """Servers replace invalid UTF-8 by U+FFFD, which would make different ids equal."""
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _requires_json(headers: Headers) -> bool:
    """Whether a POST needs the type of JSON: with a body, or from a page of another site, even without a body.

    A page may send any other type to another site without asking (CSRF). For JSON, the browser asks first.
    """
    if int(headers.get(b"content-length", b"0")) or b"transfer-encoding" in headers or b"content-type" in headers:
        return True
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    return origin is not None and origin.rpartition(b"//")[2] != headers.get(b"host")


def _strip_port(host: str) -> str:
    """Return the name of a Host header, without port, brackets and final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
