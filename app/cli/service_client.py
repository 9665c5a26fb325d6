"""Requests of commands to a running service; an error is one line that says what to do."""

from typing import Any

import httpx

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 5.0, 30.0


def post_json(url: str, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Send a body and return the answer; ValueError if there is no service or it rejects the request."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        # trust_env=False: a proxy cannot reach services on this machine.
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=timeout) as http:
            response = http.post(path, json=body)
    except httpx.ConnectError as error:
        raise ValueError(
            f"no service answers at {url}; start one (`nextup serve`), pass its --url, or load an --artifact"
        ) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ValueError(f"--url must be a base URL, such as http://127.0.0.1:8000 (got {url})") from error
    except httpx.TransportError as error:
        raise ValueError(f"{url} did not answer: {error!r}; check --url and the log of the service") from error
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise ValueError(f"{url} requires an API key; pass --key (`nextup key` creates one)")
    if response.status_code != httpx.codes.OK:
        raise ValueError(f"{url} rejected the request: {response.status_code} {extract_detail(response)}")
    answer: dict[str, Any] = response.json()
    return answer


def extract_detail(response: httpx.Response) -> str:
    """Return the cause of an error as the service states it, else the start of the body."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
