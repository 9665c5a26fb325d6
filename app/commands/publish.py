"""`nextup publish`: an artifact becomes a version of the service, which changes to it while it answers.

Copying is in `version_copy.py`; what the service does when it is asked is in app/admin.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from app.model_repository.publish import add_version, remove_old_versions
from app.model_repository.repository import ModelRepository
from app.settings import Settings

CONNECT_S = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact to publish")
    parser.add_argument("--into", type=Path, metavar="DIR", help="folder that the service serves (NEXTUP_ARTIFACT)")
    parser.add_argument(
        "--url", help="of the running service; without it the one on NEXTUP_PORT of this machine, if there is one"
    )
    parser.add_argument("--key", help="API key with the scope admin, where the service asks for one")
    parser.add_argument("--wait", type=float, default=600.0, metavar="S", help="longest wait for the service to change")
    parser.add_argument("--keep", type=int, metavar="N", help="then remove published versions but for the newest N")


def run(arguments: argparse.Namespace) -> int:
    if arguments.keep is not None and arguments.keep < 1:
        raise ValueError("--keep: at least 1")
    settings = Settings()
    folder = arguments.into or settings.artifact
    stored, is_new = add_version(folder, arguments.artifact)
    print(f"version {stored.version} {'copied to' if is_new else 'was already in'} {stored.folder}", file=sys.stderr)
    url = arguments.url or f"http://127.0.0.1:{settings.port}"
    try:
        answer = activate(url, stored.version, arguments.wait, arguments.key)
    except httpx.ConnectError as error:
        if arguments.url is not None:
            raise ValueError(f"no service answers at {url}: {error}; the version is there, but not wanted") from error
        before = ModelRepository(folder).get_target_version()
        ModelRepository(folder).set_target_version(stored.version)
        print("no service runs here: the next one that starts on this folder will serve it", file=sys.stderr)
        answer = {"active": None, "wanted": stored.version, "before": before}
    else:
        print(f"{url} serves it", file=sys.stderr)
    needed = {version for version in answer.values() if version is not None}
    removed = [] if arguments.keep is None else remove_old_versions(folder, arguments.keep, needed)
    print(json.dumps({"version": stored.version, "folder": str(stored.folder), **answer, "removed": removed}))
    return 0


def activate(url: str, version: str, wait_s: float, key: str | None = None) -> dict[str, Any]:
    """What the service answers. httpx.ConnectError if there is none; ValueError if it refuses, with its reason."""
    end = time.monotonic() + wait_s
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    # trust_env: a proxy knows nothing of this machine.
    with httpx.Client(
        base_url=url, headers=headers, trust_env=False, timeout=httpx.Timeout(wait_s, connect=CONNECT_S)
    ) as http:
        while True:
            try:
                response = http.post(f"/models/{version}/activate")
            except httpx.ConnectError:
                raise
            except httpx.TransportError as error:
                raise ValueError(f"{url} did not answer whether it serves version {version}: {error!r}") from error
            if response.status_code == 200:
                answer: dict[str, Any] = response.json()
                return answer
            pause_s = float(response.headers.get("retry-after", "nan"))  # another version is being loaded
            if not time.monotonic() + pause_s < end:
                break
            time.sleep(pause_s)
    raise ValueError(f"{url} does not serve version {version}: {response.status_code} {_reason(response)}")


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
