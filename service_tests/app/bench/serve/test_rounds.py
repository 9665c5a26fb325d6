"""Rounds taken in turn, by real generator processes on real servers."""

from dataclasses import replace

import pytest

from app.bench.processes import find_free_port, run_child
from app.bench.serve.rounds import Target, run_generator, run_interleaved, run_round, run_uvicorn
from app.runtime.subprocesses import ChildFailed
from service_tests.app.bench.serve.tallies import PLAN


@pytest.mark.slow
def test_servers_are_measured_in_turn_and_end_afterwards() -> None:
    seen: list[str] = []
    with (
        run_uvicorn("echo", "app.bench.serve.echo:create_echo", 2, factory=True) as echo,
        run_uvicorn("bare", "app.bench.serve.echo:bare", 1, factory=False) as bare,
    ):
        rounds = run_interleaved(
            [echo, bare], replace(PLAN, seconds=0.2), 2, lambda target, _: seen.append(target.name)
        )
    assert seen == ["echo", "bare", "echo", "bare"]
    for one in (*rounds["echo"], *rounds["bare"]):
        assert one.tally.errors == 0
        assert one.tally.answered > 0
        assert set(one.tally.served_by) == {"echo"}, "both answer in the shape of the service"
    assert run_generator(replace(PLAN, port=echo.port, seconds=0.1)).failures["refused"] > 0


def test_a_server_that_dies_during_a_round_fails_the_benchmark_with_its_last_words() -> None:
    port = find_free_port()
    program = (
        f"import socket, sys; server = socket.create_server(('127.0.0.1', {port})); one, _ = server.accept()\n"
        "one.recv(10); sys.exit('out of memory')"
    )
    with run_child("service", ["-c", program]) as process:
        service = Target("service", "127.0.0.1", port, "/", process)
        with pytest.raises(ChildFailed, match="out of memory"):
            run_round(service, replace(PLAN, seconds=1.0))
