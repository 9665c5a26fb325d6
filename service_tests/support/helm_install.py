"""`python -m service_tests.support.helm_install CHART`: Helm installs the chart with the values on standard input
(JSON), and what it made, or why it refused, is printed as JSON.

The engine is Helm itself, as a library (helm-sdkpy). It installs into a server on loopback that knows kinds and keeps
nothing, because Helm must have one to ask; nothing is said about Kubernetes. A process of its own, because the library
brings the runtime of Go, with threads and signals, along.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from helm_sdkpy import Configuration, HelmError, Install

KINDS = {
    "v1": {"configmaps": "ConfigMap", "secrets": "Secret", "services": "Service"},
    "apps/v1": {"deployments": "Deployment"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "monitoring.coreos.com/v1": {"prometheusrules": "PrometheusRule", "servicemonitors": "ServiceMonitor"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}
VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}


def known(path: str) -> dict[str, Any] | None:
    """What a server of Kubernetes says of itself and its kinds."""
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        named = [{"groupVersion": group, "version": group.split("/")[1]} for group in KINDS if "/" in group]
        groups = [
            {"name": one["groupVersion"].split("/")[0], "versions": [one], "preferredVersion": one} for one in named
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    group = path.removeprefix("/apis/").removeprefix("/api/")
    kinds = KINDS.get(group)
    if kinds is None:
        return None
    resources = [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "create", "patch"]}
        for name, kind in kinds.items()
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": path.split("/", 2)[2],
        "resources": resources,
    }


class TakesEverything(BaseHTTPRequestHandler):
    """What is asked for is not there; what is created is what was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = known(self.path.partition("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        self._answer(404 if found is None else 200, missing if found is None else found)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        self._answer(201, json.loads(sent) if sent.startswith(b"{") else {})  # Helm's own record is not JSON

    do_PUT = do_PATCH = do_POST  # noqa: N815

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def cluster() -> Iterator[Path]:
    """The file that says where the server is, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TakesEverything)
    thread = Thread(target=server.serve_forever)
    thread.start()
    named = {"name": "test"}
    contents = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{**named, "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
        "users": [{**named, "user": {}}],
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(contents))
            yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(chart: str) -> None:
    values = json.load(sys.stdin)
    with cluster() as config:
        install = Install(Configuration(namespace="shop", kubeconfig=str(config)))
        try:
            made = asyncio.run(install.run("nextup", chart, values=values, wait=False))
        except HelmError as error:
            print(json.dumps({"refused": str(error)}))
            return
    print(json.dumps({"manifest": made["manifest"]}))


if __name__ == "__main__":
    main(sys.argv[1])
