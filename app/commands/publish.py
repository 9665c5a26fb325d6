"""`nextup publish`: copy an artifact into the model repository and activate it in a running service.

The copy is in `app/model_repository/publish.py`; the service swaps models without dropping a request.
"""

import json
import sys
import time
from pathlib import Path
from typing import TypedDict

import httpx

from app.commands.options.publish import PublishOptions
from app.model_repository.publish import add_version, check_verdict, remove_old_versions
from app.model_repository.repository import ModelRepository
from app.settings import Settings

CONNECT_TIMEOUT_S = 5.0


class ActivationResult(TypedDict):
    """Response of POST /models/{version}/activate; `active` is None if no service is running."""

    active: str | None
    target_version: str
    previous: str | None


def run(arguments: PublishOptions) -> int:
    settings = Settings()
    folder = arguments.into or settings.artifact
    if not arguments.force and (note := check_verdict(folder, arguments.artifact)) is not None:
        print(note, file=sys.stderr)
    stored, is_new = add_version(folder, arguments.artifact)
    print(f"version {stored.version} {'copied to' if is_new else 'already in'} {stored.folder}", file=sys.stderr)
    url = arguments.url or f"http://127.0.0.1:{settings.port}"
    try:
        activation = activate(url, stored.version, arguments.wait, arguments.key)
    except httpx.ConnectError as error:
        if arguments.url is not None:
            raise ValueError(
                f"cannot connect to {url}: {error}; version {stored.version} was copied but not activated"
            ) from error
        activation = _set_target_version(folder, stored.version)
        print("no service is running; the next one that serves this folder starts with this version", file=sys.stderr)
    else:
        print(f"{url} now serves version {stored.version}", file=sys.stderr)
    versions = (activation["active"], activation["target_version"], activation["previous"])
    in_use = {version for version in versions if version is not None}
    removed = [] if arguments.keep is None else remove_old_versions(folder, arguments.keep, in_use)
    print(json.dumps({"version": stored.version, "folder": str(stored.folder), **activation, "removed": removed}))
    return 0


def _set_target_version(folder: Path, version: str) -> ActivationResult:
    repository = ModelRepository(folder)
    previous = repository.get_target_version()
    repository.set_target_version(version)
    return {"active": None, "target_version": version, "previous": previous}


def activate(url: str, version: str, wait_s: float, key: str | None = None) -> ActivationResult:
    """Activate a version in the service, waiting while it loads another one.

    httpx.ConnectError if no service is running; ValueError with the reason if it rejects the version.
    """
    deadline = time.monotonic() + wait_s
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    timeout = httpx.Timeout(wait_s, connect=CONNECT_TIMEOUT_S)
    # trust_env=False: a proxy cannot reach services on this machine.
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=timeout) as http:
        while True:
            try:
                response = http.post(f"/models/{version}/activate")
            except httpx.ConnectError:
                raise
            except httpx.TransportError as error:
                raise ValueError(f"{url} did not confirm the activation of version {version}: {error!r}") from error
            if response.status_code == 200:
                activation: ActivationResult = response.json()
                return activation
            retry_after_s = float(response.headers.get("retry-after", "nan"))  # set while another version is loading
            if not time.monotonic() + retry_after_s < deadline:
                break
            time.sleep(retry_after_s)
    raise ValueError(f"{url} did not activate version {version}: {response.status_code} {_extract_detail(response)}")


def _extract_detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
