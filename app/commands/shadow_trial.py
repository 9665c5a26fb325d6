"""The trial of `nextup publish --shadow`: a version answers real requests in the background before it is activated."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

from app.cli.running_service import RunningService
from app.commands.options.publish import PublishOptions

MIN_QUERIES = 30
"""Least requests that the version must have answered."""
POLL_S = 2.0
MARGIN_S, MAX_SECONDS = 60.0, 86_400
"""The service ends the trial by itself if this command cannot."""


def check_shadow_options(arguments: PublishOptions, *, is_served: bool) -> None:
    """ValueError for a trial that is not possible, before anything is copied."""
    if arguments.shadow is None:
        if arguments.min_overlap is not None:
            raise ValueError("--min-overlap needs --shadow TIME, in which answers are compared; pass both or neither")
    elif not is_served:
        raise ValueError("--shadow needs a running service with requests; start it, pass --url, or leave out --shadow")


@contextmanager
def try_as_shadow(service: RunningService, version: str, arguments: PublishOptions) -> Iterator[None]:
    """Begin the block after a trial without objection, while the version is still in memory; then end the trial.

    ValueError says why the version must not be activated. Without --shadow, and for the serving version, there is none.
    """
    if arguments.shadow is None:
        yield
        return
    if service.read_versions()["active"] == version:
        print(f"{service.name} serves version {version} already; --shadow has no effect", file=sys.stderr)
        yield
        return
    path = f"/models/{quote(version, safe='')}/shadow"
    seconds = min(MAX_SECONDS, math.ceil(arguments.shadow + arguments.wait + MARGIN_S))
    service.call("PUT", path, {"seconds": seconds, "share": arguments.shadow_share})
    try:
        _wait_until_ready(service, path, version, arguments.wait)
        print(f"version {version} answers requests in the background for {arguments.shadow:g} s", file=sys.stderr)
        results = _watch(service, path, arguments.shadow)
        check_results(version, results, arguments.min_overlap or 0.0)
        yield
    finally:
        with suppress(ValueError):
            service.call("DELETE", path)


def _wait_until_ready(service: RunningService, path: str, version: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not (state := service.call("GET", path))["ready"]:
        if state["problem"] is not None:
            raise ValueError(f"{service.name} cannot load version {version}: {state['problem']}")
        if time.monotonic() >= deadline:
            raise ValueError(f"{service.name} did not load version {version} within {wait_s:g} s; raise --wait")
        time.sleep(min(0.2, wait_s))


def _watch(service: RunningService, path: str, seconds: float) -> dict[str, Any]:
    """Return the results after this time, or of the first error."""
    deadline = time.monotonic() + seconds
    while (remaining_s := deadline - time.monotonic()) > 0:
        time.sleep(min(POLL_S, remaining_s))
        with suppress(ValueError):  # a poll may fail for a moment; the last one decides
            if (results := service.call("GET", path))["errors"]:
                return results
    return service.call("GET", path)


def check_results(version: str, results: dict[str, Any], min_overlap: float) -> None:
    """ValueError if the version failed a request, answered too few, or answered too differently."""
    queries, overlap = results["queries"], results["overlap"]
    if results["errors"]:
        raise ValueError(
            f"version {version} was not activated: it failed {results['errors']} of {queries} requests; the log of the "
            "service has the reason"
        )
    if queries < MIN_QUERIES or overlap is None:
        raise ValueError(
            f"version {version} was not activated: it answered {queries} requests, {MIN_QUERIES} are needed; raise "
            "--shadow or --shadow-share"
        )
    if overlap < min_overlap:
        raise ValueError(
            f"version {version} was not activated: its answers have {overlap:.1%} of their items in common with the "
            f"serving version; check the model, or lower --min-overlap ({min_overlap:g})"
        )
    print(
        f"version {version} answered {queries} requests with {overlap:.1%} of the items, in "
        f"{results['candidate_ms']:g} ms instead of {results['serving_ms']:g} ms",
        file=sys.stderr,
    )
