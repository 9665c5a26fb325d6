"""Recording rules and alerts, rendered as a Prometheus rule file.

Times can be scaled down, so that a test does not have to wait for minutes.
"""

import json
from dataclasses import dataclass

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True)
class Runbook:
    """Where readers find the runbook: `url` is absolute, None if only the path in the repository is known."""

    url: str | None = None

    def find_url(self, alert: str) -> str | None:
        """Return the absolute address of the section of an alert."""
        return None if self.url is None else f"{self.url}#{alert.lower()}"


NO_URL = Runbook()


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Factor applied to every time in a rule file."""

    factor: float = 1.0

    def format_duration(self, seconds: float) -> str:
        """A Prometheus duration such as `5m`."""
        if self.factor != 1:
            return f"{max(1, round(seconds * self.factor * 1000))}ms"
        return f"{seconds // 60:.0f}m" if seconds % 60 == 0 else f"{seconds:.0f}s"

    def format_seconds(self, seconds: float) -> str:
        """A number of seconds inside a query."""
        return f"{seconds * self.factor:g}"


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A query that Prometheus evaluates regularly and stores under a name."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Fires when `measure` exceeds `limit` for `for_s`, and only while `condition` holds if there is one."""

    name: str
    measure: str
    limit: str
    for_s: float
    severity: str
    """`page`: needs a person now; `ticket`: needs work within the day."""
    summary: str
    condition: str = ""

    @property
    def expr(self) -> str:
        exceeded = f"{self.measure} {self.limit}"
        return f"({exceeded}) and on () ({self.condition})" if self.condition else exceeded

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name.lower()}"


def render_rule_file(
    recording_rules: tuple[RecordingRule, ...],
    alerts: tuple[Alert, ...],
    scale: TimeScale,
    runbook: Runbook = NO_URL,
) -> str:
    """Render one group: Prometheus evaluates its rules in order, so alerts see freshly recorded values."""
    lines = ["groups:", "  - name: nextup", "    rules:"]
    for rule in recording_rules:
        lines += [f"      - record: {rule.name}", *_render_expr(rule.expr)]
    for alert in alerts:
        lines += [
            f"      - alert: {alert.name}",
            *_render_expr(alert.expr),
            f"        for: {scale.format_duration(alert.for_s)}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          runbook: {alert.runbook}",
        ]
        if (url := runbook.find_url(alert.name)) is not None:
            lines.append(f"          runbook_url: {json.dumps(url)}")
    return "\n".join([*lines, ""])


def _render_expr(expr: str) -> list[str]:
    return ["        expr: >-", f"          {expr}"]
