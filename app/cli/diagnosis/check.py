"""The result of one check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.cli.failures import describe_failure

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """A subject, its state, and for a warning or a failure what to do."""

    subject: str
    status: Status
    finding: str
    action: str | None = None


ACTIONS = {
    "settings": "correct it and run the check again; folders, Redis, port and artifact are checked after it",
    "data folder": "set NEXTUP_DATA_DIR to a folder that this user can write",
    "redis": "start Redis or correct NEXTUP_REDIS_URL; if it is unset, a service starts its own",
    "port": "set NEXTUP_HOST and NEXTUP_PORT to an address of this machine",
    "artifact": "train it again, or activate another version with `nextup publish`",
}
"""Actions for errors that state none."""


def run_check(subject: str, check: Callable[[], Check]) -> Check:
    """Run a check; any error is a failure, because a broken installation raises anything."""
    try:
        return check()
    except Exception as error:
        finding = describe_failure(error) or f"{type(error).__name__}: {error}"
        finding, _, action = finding.partition("; ")
        return Check(subject, "failed", finding, action or ACTIONS.get(subject, "install nextup again"))
