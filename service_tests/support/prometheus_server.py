"""A real, private Prometheus that asks a real service, many times a second.

Prometheus is no dependency of the project and nothing here fetches it: tests that need it are skipped where it is not
installed.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import find_free_port

MISSING = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
needs_prometheus = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{' and '.join(MISSING)} not found: apt install prometheus, or the release from prometheus.io",
)
needs_promtool = pytest.mark.skipif("promtool" in MISSING, reason="promtool not found: it comes with Prometheus")
EVERY_MS = 400
START_S = 30.0
CONFIG = """
global: {{scrape_interval: {every}ms, scrape_timeout: {every}ms, evaluation_interval: {every}ms}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: nextup
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True, slots=True)
class Prometheus:
    http: httpx.Client

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The series that a query gives now, each as its labels and its value."""
        response = self.http.get("/api/v1/query", params={"query": query})
        body: dict[str, Any] = response.json()
        assert body["status"] == "success", f"{query}: {body.get('error')}"
        return [(series["metric"], float(series["value"][1])) for series in body["data"]["result"]]

    def alerts(self, state: str = "firing") -> set[str]:
        found = self.http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == state}


@contextmanager
def run_prometheus(url: str, rules: str, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that watches the service at this address, with these rules, once it has seen it."""
    (folder / "rules.yml").write_text(rules)
    target = url.removeprefix("http://")
    (folder / "prometheus.yml").write_text(CONFIG.format(every=EVERY_MS, target=target))
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
                lambda: bool(_asked(prometheus)), START_S, lambda: (folder / "prometheus.log").read_text()[-2000:]
            )
            yield prometheus
    finally:
        process.terminate()
        process.wait(20)


def _asked(prometheus: Prometheus) -> list[tuple[dict[str, str], float]]:
    try:
        return prometheus.ask("up == 1")
    except (httpx.TransportError, ValueError):  # not listening yet, or not JSON
        return []


def wait_until(condition: Callable[[], bool], longest_s: float, told: Callable[[], str]) -> None:
    end = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < end, f"not within {longest_s:.0f} s: {told()}"
        time.sleep(0.05)
