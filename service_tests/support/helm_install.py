"""Install the Helm chart and print its manifest, or the error, as JSON.

`python -m service_tests.support.helm_install CHART` reads the values as JSON from standard input. It uses Helm itself,
as a library (helm-sdkpy), against a fake API server on loopback that stores nothing; it does not test Kubernetes. Runs
as a separate process, because the library contains the Go runtime with its threads and signal handlers.
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


def make_discovery_response(path: str) -> dict[str, Any] | None:
    """The API discovery document of a path; None if there is none."""
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": group, "version": group.split("/")[1]} for group in KINDS if "/" in group]
        groups = [
            {"name": version["groupVersion"].split("/")[0], "versions": [version], "preferredVersion": version}
            for version in versions
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


class FakeApiHandler(BaseHTTPRequestHandler):
    """Answers every read with 404 and every write with the body of the request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        document = make_discovery_response(self.path.partition("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        self._respond(404 if document is None else 200, missing if document is None else document)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._respond(201, json.loads(body) if body.startswith(b"{") else {})  # Helm's release record is not JSON

    do_PUT = do_PATCH = do_POST  # noqa: N815

    def _respond(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Discard the access log."""


@contextmanager
def run_fake_api_server() -> Iterator[Path]:
    """Run the server until the block ends; yields the kubeconfig file."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeApiHandler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
        "users": [{"name": "test", "user": {}}],
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(kubeconfig))
            yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(chart: str) -> None:
    values = json.load(sys.stdin)
    with run_fake_api_server() as config:
        install = Install(Configuration(namespace="shop", kubeconfig=str(config)))
        try:
            release = asyncio.run(install.run("nextup", chart, values=values, wait=False))
        except HelmError as error:
            print(json.dumps({"error": str(error)}))
            return
    print(json.dumps({"manifest": release["manifest"]}))


if __name__ == "__main__":
    main(sys.argv[1])
