"""Interleaved rounds by real generator processes on real servers."""

from dataclasses import replace
from functools import partial

import pytest

from app.bench.processes import find_free_port, run_child
from app.bench.serve.rounds import Target, run_generator, run_round
from app.bench.serve.servers import run_uvicorn
from app.runtime.subprocesses import ChildFailed
from models.benchmarks.timing import run_interleaved
from service_tests.app.bench.load.load_results import PROFILE

pytestmark = pytest.mark.process


@pytest.mark.slow
def test_servers_are_measured_interleaved_and_stopped() -> None:
    order: list[str] = []
    profile = replace(PROFILE, seconds=0.2)
    with (
        run_uvicorn("echo", "app.bench.serve.echo:create_echo", 2, factory=True) as echo,
        run_uvicorn("bare", "app.bench.serve.echo:bare", 1, factory=False) as bare,
    ):
        runs = {target.name: partial(run_round, target, profile) for target in (echo, bare)}
        rounds = run_interleaved(runs, 2, lambda name, _: order.append(name))
    assert order == ["echo", "bare", "echo", "bare"]
    for finished in (*rounds["echo"], *rounds["bare"]):
        assert finished.result.errors == 0
        assert finished.result.ok_responses > 0
        assert set(finished.result.served_by) == {"echo"}, "both respond in the format of the service"
    assert run_generator(replace(PROFILE, port=echo.port, seconds=0.1)).failures["refused"] > 0


def test_server_that_dies_during_a_round_fails_the_benchmark_with_its_output() -> None:
    port = find_free_port()
    program = (
        f"import socket, sys; server = socket.create_server(('127.0.0.1', {port})); client, _ = server.accept()\n"
        "client.recv(10); sys.exit('out of memory')"
    )
    with run_child("service", ["-c", program]) as process:
        service = Target("service", "127.0.0.1", port, "/", process)
        with pytest.raises(ChildFailed, match="out of memory"):
            run_round(service, replace(PROFILE, seconds=1.0))
