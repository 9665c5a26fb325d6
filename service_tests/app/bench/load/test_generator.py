"""The generator against a real uvicorn: each request is counted once, as what it was."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from app.bench.load.generator import generate_load
from app.bench.processes import find_free_port
from service_tests.app.bench.serve.served import LONG_S, SHORT_S, Server, served
from service_tests.app.bench.serve.tallies import PLAN

pytestmark = pytest.mark.anyio


async def test_every_request_is_counted_once_and_on_kept_connections() -> None:
    server = Server()
    async with served(server, "a", "b", "c") as plan:
        tally = await generate_load(plan)
    assert tally.all_answers == server.requests.total() > plan.connections
    assert tally.errors == 0
    assert len(tally.latencies_s) == tally.all_answers, "without a warm-up each has a latency"
    assert tally.all_answers - plan.connections <= tally.answered <= tally.all_answers
    assert len(server.connections) == plan.connections
    counts = [server.requests[user] for user in "abc"]
    assert max(counts) - min(counts) <= 1, "bodies are sent in their order, by all connections together"


async def test_the_warm_up_is_left_out() -> None:
    server = Server()
    async with served(server, "a") as plan:
        tally = await generate_load(replace(plan, warm_up_s=0.2, seconds=0.1))
    assert 0 < tally.answered < tally.all_answers == server.requests.total()


async def test_latencies_are_those_of_the_server() -> None:
    server = Server()
    users = ("long", "short", "short", "short", "short")
    async with served(server, *users) as plan:
        tally = await generate_load(replace(plan, seconds=0.5))
    assert len(tally.latencies_s) == server.requests.total()
    assert tally.latencies_s.min() >= SHORT_S
    share = server.requests["long"] / server.requests.total()
    slow = tally.latencies_s >= LONG_S
    assert slow.mean() >= share, "every long one is seen as long"
    assert np.percentile(tally.latencies_s, 100 * (1 - share / 2)) >= LONG_S


async def test_answers_other_than_200_are_errors_by_status() -> None:
    server = Server()
    async with served(server, "a", "503", "422") as plan:
        tally = await generate_load(plan)
    assert tally.statuses == {status: server.requests[str(status)] for status in (503, 422)}
    assert len(tally.latencies_s) == server.requests["a"]
    assert len(server.connections) == plan.connections, "an error answer leaves the connection open"


async def test_a_connection_that_the_server_breaks_off_is_an_error_and_opened_again() -> None:
    server = Server()
    async with served(server, "a", "a", "breaks off") as plan:
        tally = await generate_load(plan)
    assert tally.failures == {"disconnected": server.requests["breaks off"]}
    assert tally.failures["disconnected"] > plan.connections, "it went on after the first"
    assert tally.all_answers == server.requests["a"]
    assert len(server.connections) > plan.connections


async def test_a_connection_that_the_server_closes_in_order_is_opened_again_without_an_error() -> None:
    server = Server()
    async with served(server, "a", "last") as plan:
        tally = await generate_load(plan)
    assert tally.errors == 0
    assert tally.all_answers == server.requests.total()
    assert len(server.connections) >= server.requests["last"] > plan.connections


async def test_an_answer_that_never_comes_is_a_timeout_and_the_round_ends() -> None:
    server = Server()
    async with served(server, "a", "a", "a", "hangs") as plan:
        async with asyncio.timeout(20):
            tally = await generate_load(replace(plan, timeout_s=0.2))
    assert tally.failures == {"timeout": server.requests["hangs"]}
    assert tally.all_answers == server.requests["a"]


async def test_a_server_that_is_not_there_is_refusals_and_not_a_busy_loop() -> None:
    tally = await generate_load(replace(PLAN, port=find_free_port()))
    assert set(tally.failures) == {"refused"}
    assert tally.answered == 0
    assert tally.failures["refused"] <= PLAN.connections * (PLAN.seconds / 0.01 + 1)


async def test_what_is_not_http_is_malformed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"hello\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", port := find_free_port()):
        tally = await generate_load(replace(PLAN, port=port))
    assert set(tally.failures) == {"malformed"}
    assert tally.answered == 0


async def test_who_served_is_taken_from_a_sample() -> None:
    server = Server()
    async with served(server, "model") as plan:
        tally = await generate_load(plan)
    assert set(tally.served_by) == {"model"}
    assert tally.served_by["model"] < tally.all_answers
    assert set(tally.model_versions) == {"v1"}
