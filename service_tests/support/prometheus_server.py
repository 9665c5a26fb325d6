"""A private Prometheus server that scrapes a running service several times a second.

Prometheus is not a dependency of the project and is never downloaded: tests that need it are skipped where it is not
installed.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import find_free_port
from service_tests.support.waiting import wait_until

MISSING = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
needs_prometheus = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{' and '.join(MISSING)} not found: apt install prometheus, or the release from prometheus.io",
)
needs_promtool = pytest.mark.skipif("promtool" in MISSING, reason="promtool not found: it comes with Prometheus")
SCRAPE_INTERVAL_MS = 400
START_S = 30.0
CONFIG = """
global: {{scrape_interval: {interval}ms, scrape_timeout: {interval}ms, evaluation_interval: {interval}ms}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: nextup
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True, slots=True)
class Prometheus:
    http: httpx.Client

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an expression now; each series as its labels and its value."""
        response = self.http.get("/api/v1/query", params={"query": expr})
        body: dict[str, Any] = response.json()
        assert body["status"] == "success", f"{expr}: {body.get('error')}"
        return [(series["metric"], float(series["value"][1])) for series in body["data"]["result"]]

    def find_alerts(self, state: str = "firing") -> set[str]:
        alerts = self.http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == state}


@contextmanager
def run_prometheus(url: str, rules: str, folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus with these rules against the service at this address; yields after the first scrape."""
    (folder / "rules.yml").write_text(rules)
    target = url.removeprefix("http://")
    (folder / "prometheus.yml").write_text(CONFIG.format(interval=SCRAPE_INTERVAL_MS, target=target))
    port = find_free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as http:
            prometheus = Prometheus(http)
            wait_until(
                lambda: _has_scraped(prometheus), START_S, lambda: (folder / "prometheus.log").read_text()[-2000:]
            )
            yield prometheus
    finally:
        process.terminate()
        process.wait(20)


def _has_scraped(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.query("up == 1"))
    except (httpx.TransportError, ValueError):  # not listening yet, or not JSON
        return False
