"""Alerts evaluated by promtool: each fires on its fault and not on similar healthy series, with the committed times."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.monitoring import limits
from app.monitoring.alerts import CALLER_ROUTES, make_alerts
from app.monitoring.annotations import ANNOTATIONS
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


def make_restarts(reason: str, every: int) -> Series:
    """Restarts of a worker for one reason, one per so many samples."""
    counts = " ".join(str(sample // every) for sample in range(81))
    return {f'nextup_restarts_total{{process="worker",reason="{reason}"}}': counts}


def make_stall(rejected: float, last_batch: str, depth: float = 0) -> Series:
    return make_queries(0, rejected) | {
        "nextup_last_batch_timestamp_seconds": last_batch,
        "nextup_queue_depth": f"{depth}x80",
    }


def make_circuit(values: str) -> Series:
    """States of the circuit of one process next to one that is always closed."""
    return {
        'nextup_circuit_state{circuit="store"}': values,
        'nextup_circuit_state{circuit="model"}': "0x80",
    }


def make_memory(process: float, redis: float, limit: float = 100) -> Series:
    return {
        'process_resident_memory_bytes{job="nextup",instance="a"}': f"{process}x80",
        'nextup_memory_limit_bytes{job="nextup",instance="a"}': "100x80",
        'nextup_store_memory_bytes{instance="a"}': f"{redis}x80",
        'nextup_store_memory_limit_bytes{instance="a"}': f"{limit}x80",
    }


def make_log(entries: float, limit: float = 1000) -> Series:
    return {
        "nextup_event_log_longest_stream_entries": f"{entries}x80",
        "nextup_event_log_limit_entries": f"{limit}x80",
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
    "NextupRestarting": [
        Case(make_restarts("exited", every=3), make_restarts("requested", every=3)),
        Case(make_restarts("killed", every=3), make_restarts("killed", every=60)),
    ],
    "NextupApiKeysRejected": [
        Case({"nextup_api_keys_file_rejected": "0x3 1x77"}, {"nextup_api_keys_file_rejected": "0x80"}),
    ],
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
    "NextupCircuitOpen": [
        Case(make_circuit("0x20 2 1 2 1 2 1 2x60"), make_circuit("0x20 2 1 0x60")),
    ],
    "NextupMemoryNearLimit": [Case(make_memory(95, 10), make_memory(85, 95))],
    "NextupStoreMemoryNearLimit": [
        Case(make_memory(10, 95), make_memory(95, 85)),
        Case(make_memory(10, 95), make_memory(10, 95, limit=0)),
    ],
    "NextupEventLogStalled": [
        Case(
            {"nextup_event_log_oldest_timestamp_seconds": "1x80"},
            {"nextup_event_log_oldest_timestamp_seconds": "0+15x80"},
        ),
        Case(
            {"nextup_event_log_oldest_timestamp_seconds": "1x80"},
            {"nextup_event_log_oldest_timestamp_seconds": "0x80"},
        ),
    ],
    "NextupCatalogueStale": [
        Case(
            {"nextup_catalogue_read_timestamp_seconds": "0+15x40 600x40"},
            {"nextup_catalogue_read_timestamp_seconds": "0+15x80"},
        ),
        Case({"nextup_catalogue_read_timestamp_seconds": "0x80"}, UP),
    ],
    "NextupVersionMissing": [
        Case({"nextup_resident_versions_missing": "0x20 1x60"}, {"nextup_resident_versions_missing": "1x10 0x70"}),
        Case({"nextup_resident_versions_missing": "1x80"}, UP),
    ],
    "NextupConsumerStalled": [
        Case(
            {"nextup_consumer_oldest_message_age_seconds": "0+15x80"},
            {"nextup_consumer_oldest_message_age_seconds": "0+15x4 0x76"},
        ),
        Case({"nextup_consumer_oldest_message_age_seconds": "300x80"}, UP),
    ],
    "NextupDeadLetters": [
        Case(
            {'nextup_consumer_messages_total{result="dead_letter"}': make_counter(1)},
            {'nextup_consumer_messages_total{result="processed"}': make_counter(9)},
        )
    ],
    "NextupEventLogNearLimit": [Case(make_log(600), make_log(400)), Case(make_log(600), make_log(600, limit=0))],
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


def has_marks(folder: Path, series: Series, expr: str, minute: int, labels: list[str]) -> bool:
    """Whether a query has a value for these label sets, and for no others, at a minute of the series."""
    expected = {
        "expr": f"clamp_max({expr}, 1)",
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": label_set, "value": 1} for label_set in labels],
    }
    test = {
        "interval": "15s",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [expected],
    }
    (folder / "test.yml").write_text(json.dumps({"evaluation_interval": "15s", "tests": [test]}))
    command = ["promtool", "test", "rules", "test.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@needs_promtool
@pytest.mark.process
def test_annotations_mark_the_minute_of_a_change(tmp_path: Path) -> None:
    series = {
        'nextup_model_info{version="a"}': "1x39 0x41",
        'nextup_model_info{version="b"}': "_x39 1x41",
        'nextup_restarts_total{process="worker",reason="killed"}': "0x39 1x41",
        'nextup_model_reload_total{result="rejected"}': "0x39 1x41",
    }
    labels = {
        "Activations": '{version="b"}',
        "Restarts": '{process="worker", reason="killed"}',
        "Rejected versions": '{result="rejected"}',
    }
    assert labels.keys() == {annotation.name for annotation in ANNOTATIONS}
    for annotation in ANNOTATIONS:
        for minute, expected in ((8, []), (10, [labels[annotation.name]]), (14, [])):
            assert has_marks(tmp_path, series, annotation.expr, minute, expected), (annotation.name, minute)
        assert not has_marks(tmp_path, series, annotation.expr, 10, [])


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
