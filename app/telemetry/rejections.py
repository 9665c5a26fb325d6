"""Rejections at the HTTP edge: each is counted, and the log has at most one line per reason and interval.

Attackers decide how often a bound is hit, so a line per rejection would be another way to fill a disk.
"""

import logging
import time

from app.telemetry.metrics import EDGE_REASONS, REJECTED

log = logging.getLogger("nextup")

LOG_INTERVAL_S = 10.0
LOCAL_SOCKET = "a local socket"
"""In place of the address of a client that has none."""


class RejectionLog:
    """Counts rejections in `nextup_rejected_total{reason}`, for the reasons of EDGE_REASONS."""

    def __init__(self) -> None:
        self._counters = {reason: REJECTED.labels(reason) for reason in EDGE_REASONS}
        self._logged_at = dict.fromkeys(EDGE_REASONS, float("-inf"))
        self._unlogged = dict.fromkeys(EDGE_REASONS, 0)

    def report(self, reason: str, detail: str, client: str) -> None:
        """Count one rejection; `detail` states cause and action, `client` is the address of the peer."""
        self._counters[reason].inc()
        self._unlogged[reason] += 1
        now = time.monotonic()
        if now - self._logged_at[reason] >= LOG_INTERVAL_S:
            count, self._unlogged[reason] = self._unlogged[reason], 0
            self._logged_at[reason] = now
            log.warning("rejected %d time(s) (%s, last from %s): %s", count, reason, client, detail)
