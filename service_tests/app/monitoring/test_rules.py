"""Alerts evaluated by promtool: each fires on its fault and not on similar healthy series, with the committed times."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.monitoring import limits
from app.monitoring.alerts import CALLER_ROUTES, make_alerts
from app.monitoring.files import RULES_FILE, render_rules
from app.monitoring.rules import TimeScale
from app.settings import Settings
from service_tests.support.prometheus_server import needs_promtool

pytestmark = pytest.mark.process

COMMITTED = Path(__file__).parents[3] / "docker" / RULES_FILE
EVAL_TIME = "20m"
UP = {'up{job="nextup"}': "1x80"}
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series in promtool notation, a value every 15 s: a fault, and a healthy lookalike."""

    faulty: Series
    healthy: Series


def make_counter(rate: float) -> str:
    """A counter that grows by `rate` every 15 s."""
    return f"0+{rate}x80"


def make_latency(slow: float) -> Series:
    """100 requests every 15 s, of which `slow` take between 0.5 and 1 s."""
    bucket = 'nextup_http_request_duration_seconds_bucket{{route="/recommend",le="{}"}}'
    return {
        bucket.format("0.5"): make_counter(100 - slow),
        bucket.format("1.0"): make_counter(100),
        bucket.format("+Inf"): make_counter(100),
    }


def make_requests(code_200: float, code_503: float, route: str = "/recommend") -> Series:
    return {
        f'nextup_http_requests_total{{route="{route}",code="200"}}': make_counter(code_200),
        f'nextup_http_requests_total{{route="{route}",code="503"}}': make_counter(code_503),
    }


def make_recommendations(model: float, reason: str, popularity: float) -> Series:
    return {
        'nextup_recommendations_total{served_by="model",reason=""}': make_counter(model),
        f'nextup_recommendations_total{{served_by="popularity",reason="{reason}"}}': make_counter(popularity),
    }


def make_queries(run: float, rejected: float) -> Series:
    return {
        "nextup_batch_size_sum": make_counter(run),
        'nextup_rejected_total{reason="overloaded"}': make_counter(rejected),
    }


def make_stall(rejected: float, last_batch: str, depth: float = 0) -> Series:
    return make_queries(0, rejected) | {
        "nextup_last_batch_timestamp_seconds": last_batch,
        "nextup_queue_depth": f"{depth}x80",
    }


def make_memory(process: float, redis: float, limit: float = 100) -> Series:
    return {
        'process_resident_memory_bytes{job="nextup",instance="a"}': f"{process}x80",
        'nextup_memory_limit_bytes{job="nextup",instance="a"}': "100x80",
        'nextup_store_memory_bytes{instance="a"}': f"{redis}x80",
        'nextup_store_memory_limit_bytes{instance="a"}': f"{limit}x80",
    }


CASES = {
    "NextupAbsent": [
        Case({'up{job="nextup"}': "1x10 0x70"}, UP),
        Case({'up{job="another"}': "1x80"}, UP),
    ],
    "NextupErrors": [
        Case(make_requests(90, 10), make_requests(99, 1)),
        Case(make_requests(0, 10), make_requests(90, 10, "/readyz")),
    ],
    "NextupSlow": [Case(make_latency(slow=5), make_latency(slow=0.5))],
    "NextupShedding": [Case(make_queries(95, 5), make_queries(1000, 5))],
    "NextupFallback": [
        Case(make_recommendations(80, "store_unavailable", 20), make_recommendations(80, "unknown_user", 20)),
        Case(make_recommendations(0, "no_known_items", 1), make_recommendations(95, "no_known_items", 5)),
    ],
    "NextupModelStalled": [
        Case(make_stall(rejected=5, last_batch="100x80"), make_stall(rejected=0, last_batch="100x80")),
        Case(
            make_stall(rejected=0, last_batch="100x80", depth=3), make_stall(rejected=5, last_batch="0+15x80", depth=3)
        ),
    ],
    "NextupStoreDown": [Case({"nextup_store_up": "1x40 0x40"}, {"nextup_store_up": "1x76 0 1x4"})],
    "NextupMemoryNearLimit": [Case(make_memory(95, 10), make_memory(85, 95))],
    "NextupStoreMemoryNearLimit": [
        Case(make_memory(10, 95), make_memory(95, 85)),
        Case(make_memory(10, 95), make_memory(10, 95, limit=0)),
    ],
}


def has_fired(name: str, series: Series, folder: Path) -> bool:
    """Whether the committed rules fire this alert after twenty minutes of these series."""
    (folder / "rules.yml").write_text(COMMITTED.read_text())
    [alert] = [alert for alert in make_alerts(TimeScale()) if alert.name == name]
    annotations = {"summary": alert.summary, "runbook": alert.runbook}
    firing = {"exp_labels": {"severity": alert.severity}, "exp_annotations": annotations}
    outcomes = [_passes(folder, series, name, expected) for expected in ([firing], [])]
    assert outcomes.count(True) == 1, f"{name} fires with other labels or annotations than described"
    return outcomes[0]


def _passes(folder: Path, series: Series, name: str, expected: list[dict[str, Any]]) -> bool:
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": key, "values": values} for key, values in series.items()],
                "alert_rule_test": [{"eval_time": EVAL_TIME, "alertname": name, "exp_alerts": expected}],
            }
        ],
    }
    (folder / "test.yml").write_text(json.dumps(test))  # JSON is YAML
    process = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "FAILED" in process.stdout + process.stderr or process.returncode == 0, process.stdout + process.stderr
    return process.returncode == 0


@needs_promtool
@pytest.mark.process
def test_committed_rules_are_valid() -> None:
    process = subprocess.run(
        ["promtool", "check", "rules", str(COMMITTED)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == {alert.name for alert in make_alerts(TimeScale())}


@needs_promtool
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_alert_fires_on_its_fault_only(name: str, case: Case, tmp_path: Path) -> None:
    assert has_fired(name, case.faulty, tmp_path)
    assert not has_fired(name, case.healthy, tmp_path)


def test_slow_limit_is_half_of_the_default_deadline() -> None:
    assert Settings.model_fields["request_deadline_ms"].default == 2 * 1000 * limits.SLOW_S


def test_scaled_rules_differ_in_times_only() -> None:
    plain, scaled = render_rules().splitlines(), render_rules(1 / 60).splitlines()
    different = [(a, b) for a, b in zip(plain, scaled, strict=True) if a != b]
    assert ("        for: 5m", "        for: 5000ms") in different
    assert all("[" in a or "for:" in a or "time()" in a for a, _ in different)
    assert "[5m]" not in "".join(scaled)


def test_health_checks_are_not_counted_as_requests() -> None:
    assert all(path in CALLER_ROUTES for path in ("/livez", "/healthz", "/readyz", "/metrics"))
