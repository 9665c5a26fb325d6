"""Recording rules and alerts as Prometheus reads them.

Knows the YAML of a rule file, as much of it as is used here. Times can be scaled, so that a test need not wait for
minutes.
"""

import json
from dataclasses import dataclass

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True)
class Clock:
    """Times in rules: as they are said, or shorter by `scale`."""

    scale: float = 1.0

    def __call__(self, seconds: float) -> str:
        """A duration as Prometheus reads it."""
        if self.scale != 1:
            return f"{max(1, round(seconds * self.scale * 1000))}ms"
        return f"{seconds // 60:.0f}m" if seconds % 60 == 0 else f"{seconds:.0f}s"

    def seconds(self, seconds: float) -> str:
        """A number inside a query."""
        return f"{seconds * self.scale:g}"


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Fires when `measure` is beyond `limit` for `hold_s`, and only while `also` holds, if that is given."""

    name: str
    measure: str
    limit: str
    hold_s: float
    severity: str
    """page: somebody should come now; ticket: within the day."""
    summary: str
    also: str = ""

    @property
    def expr(self) -> str:
        beyond = f"{self.measure} {self.limit}"
        return f"({beyond}) and on () ({self.also})" if self.also else beyond

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name.lower()}"


def rule_file(recordings: tuple[Recording, ...], alerts: tuple[Alert, ...], clock: Clock) -> str:
    """One group: its rules are evaluated in order, so alerts see what was just recorded."""
    lines = ["groups:", "  - name: nextup", "    rules:"]
    for recording in recordings:
        lines += [f"      - record: {recording.name}", *_expression(recording.expr)]
    for alert in alerts:
        lines += [
            f"      - alert: {alert.name}",
            *_expression(alert.expr),
            f"        for: {clock(alert.hold_s)}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          runbook: {alert.runbook}",
        ]
    return "\n".join([*lines, ""])


def _expression(expr: str) -> list[str]:
    return ["        expr: >-", f"          {expr}"]
