"""Each alert fires on its trouble and not beside it, with the times of the rules as they are committed (promtool)."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.monitoring import limits
from app.monitoring.alerts import HEALTH, alerts
from app.monitoring.files import RULES, rules
from app.monitoring.rules import Clock
from app.settings import Settings
from service_tests.support.prometheus_server import needs_promtool

COMMITTED = Path(__file__).parents[3] / "docker" / RULES
AT = "20m"
UP = {'up{job="nextup"}': "1x80"}
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series as promtool writes them, a value every 15 s: trouble, and what looks like it and is none."""

    trouble: Series
    no_trouble: Series


def steady(rate: float) -> str:
    """A counter that grows by so much every 15 s."""
    return f"0+{rate}x80"


def latency(slow: float) -> Series:
    """100 requests every 15 s, of which `slow` take between 0.5 and 1 s."""
    bucket = 'nextup_http_request_duration_seconds_bucket{{route="/recommend",le="{}"}}'
    return {
        bucket.format("0.5"): steady(100 - slow),
        bucket.format("1.0"): steady(100),
        bucket.format("+Inf"): steady(100),
    }


def answered(code_200: float, code_503: float, route: str = "/recommend") -> Series:
    return {
        f'nextup_http_requests_total{{route="{route}",code="200"}}': steady(code_200),
        f'nextup_http_requests_total{{route="{route}",code="503"}}': steady(code_503),
    }


def recommended(model: float, reason: str, popularity: float) -> Series:
    return {
        'nextup_recommendations_total{served_by="model",reason=""}': steady(model),
        f'nextup_recommendations_total{{served_by="popularity",reason="{reason}"}}': steady(popularity),
    }


def queries(run: float, refused: float) -> Series:
    return {"nextup_batch_size_sum": steady(run), 'nextup_rejected_total{reason="overloaded"}': steady(refused)}


def stalled(refused: float, last_batch: str, depth: float = 0) -> Series:
    return queries(0, refused) | {
        "nextup_last_batch_timestamp_seconds": last_batch,
        "nextup_queue_depth": f"{depth}x80",
    }


def memory(process: float, redis: float, limit: float = 100) -> Series:
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
        Case(answered(90, 10), answered(99, 1)),
        Case(answered(0, 10), answered(90, 10, "/readyz")),
    ],
    "NextupSlow": [Case(latency(slow=5), latency(slow=0.5))],
    "NextupShedding": [Case(queries(95, 5), queries(1000, 5))],
    "NextupFallback": [
        Case(recommended(80, "store_unavailable", 20), recommended(80, "unknown_user", 20)),
        Case(recommended(0, "no_known_items", 1), recommended(95, "no_known_items", 5)),
    ],
    "NextupModelStalled": [
        Case(stalled(refused=5, last_batch="100x80"), stalled(refused=0, last_batch="100x80")),
        Case(stalled(refused=0, last_batch="100x80", depth=3), stalled(refused=5, last_batch="0+15x80", depth=3)),
    ],
    "NextupStoreDown": [Case({"nextup_store_up": "1x40 0x40"}, {"nextup_store_up": "1x76 0 1x4"})],
    "NextupMemoryNearLimit": [Case(memory(95, 10), memory(85, 95))],
    "NextupStoreMemoryNearLimit": [Case(memory(10, 95), memory(95, 85)), Case(memory(10, 95), memory(10, 95, limit=0))],
}


def fired(name: str, series: Series, folder: Path) -> bool:
    """Whether the committed rules fire this alert after twenty minutes of these series."""
    (folder / "rules.yml").write_text(COMMITTED.read_text())
    [alert] = [alert for alert in alerts(Clock()) if alert.name == name]
    annotations = {"summary": alert.summary, "runbook": alert.runbook}
    wanted = {"exp_labels": {"severity": alert.severity}, "exp_annotations": annotations}
    outcomes = [_passes(folder, series, name, expected) for expected in ([wanted], [])]
    assert outcomes.count(True) == 1, f"{name} fires otherwise than its description says"
    return outcomes[0]


def _passes(folder: Path, series: Series, name: str, expected: list[dict[str, Any]]) -> bool:
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": key, "values": values} for key, values in series.items()],
                "alert_rule_test": [{"eval_time": AT, "alertname": name, "exp_alerts": expected}],
            }
        ],
    }
    (folder / "test.yml").write_text(json.dumps(test))  # JSON is YAML
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "FAILED" in done.stdout + done.stderr or done.returncode == 0, done.stdout + done.stderr
    return done.returncode == 0


@needs_promtool
def test_the_committed_rules_are_valid() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(COMMITTED)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == {alert.name for alert in alerts(Clock())}


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_an_alert_fires_on_its_trouble_and_not_beside_it(name: str, case: Case, tmp_path: Path) -> None:
    assert fired(name, case.trouble, tmp_path)
    assert not fired(name, case.no_trouble, tmp_path)


def test_slow_is_half_of_the_deadline_that_nobody_changed() -> None:
    assert Settings.model_fields["request_deadline_ms"].default == 2 * 1000 * limits.SLOW_S


def test_scaled_rules_have_other_times_and_nothing_else() -> None:
    plain, scaled = rules().splitlines(), rules(1 / 60).splitlines()
    different = [(a, b) for a, b in zip(plain, scaled, strict=True) if a != b]
    assert ("        for: 5m", "        for: 5000ms") in different
    assert all("[" in a or "for:" in a or "time()" in a for a, _ in different)
    assert "[5m]" not in "".join(scaled)


def test_health_checks_are_no_requests_of_callers() -> None:
    assert all(path in HEALTH for path in ("/livez", "/healthz", "/readyz", "/metrics"))
