"""Redis servers, a cluster and a Sentinel that speak TLS with a certificate made for the test."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service_tests.support.redis_processes import RedisProcess, find_free_port, wait_for_redis

SERVICE = "shop"
PASSWORD = "p4ss/w0rd?#"
QUOTED_PASSWORD = "p4ss%2Fw0rd%3F%23"
MAX_SLOT = 16_383


@dataclass(frozen=True)
class TlsRedis:
    """URLs without options; `certificate` is its own certificate authority."""

    server_url: str
    cluster_url: str
    sentinel_url: str
    plain_url: str
    certificate: Path

    @property
    def trust(self) -> str:
        """Options that trust the certificate."""
        return f"?ssl_ca_certs={self.certificate}"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for 127.0.0.1 and its key."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("needs openssl, to create a certificate")
    certificate, key = folder / "redis.crt", folder / "redis.key"
    names = ["-subj", "/CN=nextup test", "-addext", "subjectAltName=IP:127.0.0.1"]
    out = ["-keyout", str(key), "-out", str(certificate)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(
        [openssl, "req", "-x509", "-nodes", "-days", "2", *curve, *names, *out], check=True, capture_output=True
    )
    return certificate, key


@contextmanager
def run_redis_tls(folder: Path) -> Iterator[TlsRedis]:
    """Run a server with a password, a cluster of two nodes, and a Sentinel with its primary, until the block ends."""
    certificate, key = make_certificate(folder)
    processes: list[RedisProcess] = []

    def start(name: str, options: dict[str, str], configuration: str | None = None) -> tuple[RedisProcess, int]:
        tls_port = find_free_port()
        tls = {
            "tls-port": str(tls_port),
            "tls-cert-file": str(certificate),
            "tls-key-file": str(key),
            "tls-ca-cert-file": str(certificate),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
            "tls-cluster": "yes",  # nodes then announce their TLS ports
        }
        try:
            process = RedisProcess(folder / name, tls | options, configuration)
        except AssertionError:
            log = (folder / name / "redis.log").read_text()
            if "tls" in log.lower():
                pytest.skip("needs a redis-server that was built with TLS")
            raise
        processes.append(process)
        return process, tls_port

    try:
        server, server_port = start("server", {"save": ""})
        with server.connect() as client:
            client.config_set("requirepass", PASSWORD)
        nodes = [start(f"node{number}", {"save": "", "cluster-enabled": "yes"}) for number in range(2)]
        _join_nodes(nodes)
        _, primary_port = start("primary", {"save": ""})
        monitor = f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 1\n"
        _, sentinel_port = start("sentinel", {}, monitor)
        yield TlsRedis(
            server_url=f"rediss://:{QUOTED_PASSWORD}@127.0.0.1:{server_port}/2",
            cluster_url=f"rediss+cluster://127.0.0.1:{nodes[0][1]}",
            sentinel_url=f"rediss+sentinel://127.0.0.1:{sentinel_port}/{SERVICE}/3",
            plain_url=f"rediss://127.0.0.1:{server.port}",
            certificate=certificate,
        )
    finally:
        for process in processes:
            process.stop()


def _join_nodes(nodes: list[tuple[RedisProcess, int]]) -> None:
    borders = [MAX_SLOT * number // len(nodes) for number in range(len(nodes) + 1)]
    for number, (node, _) in enumerate(nodes):
        with node.connect() as client:
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first = borders[number] + (number > 0)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, borders[number + 1])
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0][1])
    wait_for_redis(lambda: all(_is_complete(node) for node, _ in nodes), "a cluster in which every slot has an owner")


def _is_complete(node: RedisProcess) -> bool:
    with node.connect() as client:
        return str(client.execute_command("CLUSTER INFO")["cluster_state"]) == "ok"
