"""The running service that commands talk to: its answers, the folder it serves, and the activation of a version."""

import time
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

import httpx

from app.cli.listening import format_url
from app.redaction import redact_text
from app.settings import Settings

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 5.0, 30.0
ADDRESS_SETTINGS = ("host", "port", "unix_socket")
"""Settings that `find_service` reads."""


class NotRunning(Exception):
    """No service answers at the address."""


class ActivationResult(TypedDict):
    """Response of POST /models/{version}/activate; `active` is None if no service is running."""

    active: str | None
    target_version: str | None
    previous: str | None


class RunningService:
    """Calls one service with one key; `name` is its URL without a password, for messages."""

    def __init__(self, url: str, *, key: str | None = None, unix_socket: Path | None = None) -> None:
        check_url(url)
        self.name = redact_text(url) if unix_socket is None else f"unix:{unix_socket}"
        self._url = url
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._unix_socket = unix_socket

    def read_repository(self) -> Path | None:
        """Ask for the folder that the service serves; None from a version of nextup that does not report it.

        NotRunning if no service answers; ValueError if another program or a key error does.
        """
        return Path(folder) if (folder := self.read_versions().get("repository")) else None

    def read_versions(self) -> dict[str, Any]:
        """Ask for the versions of the service; errors as of `read_repository`."""
        with self._connect(ANSWER_TIMEOUT_S) as http:  # an overloaded service is when a rollback matters
            try:
                response = http.get("/models")
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise NotRunning(f"cannot connect to {self.name}: {redact_text(str(error))}") from error
            except httpx.TimeoutException as error:
                late = f"{self.name} did not answer within {ANSWER_TIMEOUT_S:g} s"
                raise ValueError(f"{late}; try again, or check that it is a nextup service") from error
            except httpx.TransportError as error:
                raise ValueError(f"{self.name} did not answer: {error!r}; check that it is a nextup service") from error
        if response.status_code in (401, 403):
            raise ValueError(f"{self.name} refused to list its models: {_extract_detail(response)}; pass --key")
        try:
            content: dict[str, Any] = dict(response.json())
            content["target_version"]
        except (ValueError, KeyError, TypeError):
            detail = "" if response.status_code == 200 else f": {response.status_code} {_extract_detail(response)}"
            raise ValueError(
                f"{self.name} does not list models as a nextup service does{detail}; check --url"
            ) from None
        if "repository" in content and content["repository"] is None:
            raise ValueError(f"{self.name} accepts versions only from keys with the scope admin; pass another --key")
        return content

    def list_variant_versions(self) -> set[str]:
        """List the versions of the experiment that runs; ValueError if the service does not answer."""
        experiments = self.call("GET", "/experiments")["experiments"]
        variants = [
            each for experiment in experiments if experiment["phase"] == "running" for each in experiment["variants"]
        ]
        return {variant["version"] for variant in variants if variant["version"] is not None}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer; ValueError if there is no service or it rejects the request."""
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request of any method; errors as of `post`."""
        absent = f"no service answers at {self.name}; start one (`nextup serve`), pass --url, or load an --artifact"
        if self._unix_socket is not None and not self._unix_socket.is_socket():
            raise ValueError(absent)
        with self._connect(ANSWER_TIMEOUT_S) as http:
            try:
                response = http.request(method, path, json=body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise ValueError(absent) from error
            except httpx.TransportError as error:
                raise ValueError(f"{self.name} did not answer: {error!r}; check --url and the service's log") from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ValueError(f"{self.name} requires an API key; pass --key (`nextup key` creates one)")
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{self.name} rejected the request: {response.status_code} {_extract_detail(response)}")
        try:
            answer: dict[str, Any] = dict(response.json())
        except (ValueError, TypeError):
            raise ValueError(f"{self.name} does not answer as a nextup service does; check --url") from None
        return answer

    def activate(self, version: str, wait_s: float) -> ActivationResult:
        """Activate a version, waiting while the service loads another one; ValueError if it rejects the version."""
        deadline = time.monotonic() + wait_s
        with self._connect(wait_s) as http:
            while True:
                try:
                    response = http.post(f"/models/{version}/activate")
                except httpx.TransportError as error:
                    raise ValueError(
                        f"{self.name} did not confirm the activation of version {version}: {error!r}; publish it again"
                    ) from error
                if response.status_code == 200:
                    activation: ActivationResult = response.json()
                    return activation
                retry_after_s = float(response.headers.get("retry-after", "nan"))  # while another version is loading
                if not time.monotonic() + retry_after_s < deadline:
                    break
                time.sleep(retry_after_s)
        reason = f"{response.status_code} {_extract_detail(response)}"
        raise ValueError(f"{self.name} did not activate version {version}: {reason}")

    def _connect(self, timeout_s: float) -> httpx.Client:
        transport = None if self._unix_socket is None else httpx.HTTPTransport(uds=str(self._unix_socket))
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        # trust_env=False: a proxy cannot reach services on this machine.
        return httpx.Client(
            base_url=self._url, headers=self._headers, trust_env=False, timeout=timeout, transport=transport
        )


def find_service(settings: Settings, *, url: str | None, key: str | None) -> RunningService:
    """Return the service at `url`, else the one that the settings describe; it need not run."""
    if url is not None:
        return RunningService(url, key=key)
    if settings.unix_socket is not None:
        return RunningService("http://localhost", key=key, unix_socket=settings.unix_socket)
    return RunningService(format_url(settings.host, settings.port), key=key)


def check_url(url: str) -> None:
    """ValueError without the value, which may hold a password."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("--url must be a base URL such as http://127.0.0.1:8000")


def _extract_detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
