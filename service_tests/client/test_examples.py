"""Examples run against the real service, and are short."""

import ast
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis import Redis

from app.settings import Settings
from examples import shop, stream_consumer, video_page
from models.build import ENCODERS
from nextup import Client
from service_tests.client.conftest import LONG_S, PATIENT
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.code_blocks import find_code_blocks
from service_tests.support.served_service import SocketServer, serve_on_socket
from service_tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENT_README = EXAMPLES.parent / "client/README.md"
CLOSED_PORT = "http://127.0.0.1:1"


@pytest.fixture
def client(server: SocketServer) -> Iterator[Client]:
    with Client(server.url, deadline_s=LONG_S, retries=PATIENT) as client:
        yield client


def read_lines(path: Path) -> list[str]:
    """Lines of a program, or those of all code cells of a notebook."""
    if path.suffix != ".ipynb":
        return path.read_text().splitlines()
    cells = json.loads(path.read_text())["cells"]
    return [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).splitlines()]


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_example_is_short_and_parses(path: Path) -> None:
    if path.is_file():
        lines = read_lines(path)
        assert len(lines) < 100
        ast.parse("\n".join(lines))


@asynccontextmanager
async def open_site(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run a site without a socket, and a browser with its cookies."""
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://site") as http:
        yield http


@pytest.mark.anyio
async def test_shop_counts_the_click_on_a_recommendation(
    server: SocketServer, client: Client, tmp_path: Path, new_user: Callable[[], str]
) -> None:
    user, before = new_user(), count_clicks(server)
    client.ingest_events(events=[{"user_id": user, "item_id": "i9"}])
    async with open_site(shop.create_app(server.url, str(tmp_path / "spool"), LONG_S)) as visitor:
        visitor.cookies.set("visitor", user)
        page = (await visitor.get("/products/i5")).text
        assert "Item number" in page
        assert "/products/i5?" not in page, "the product itself is not recommended"
        link = page.partition('<li><a href="')[2].partition('"')[0].replace("&amp;", "&")
        assert (await visitor.get(link)).status_code == 200
    items = [event.item_id for event in client.read_history(user).events]
    assert (items[:2], len(items)) == (["i9", "i5"], 3)
    assert count_clicks(server) == before + 1


@pytest.mark.anyio
async def test_shop_shows_products_whose_ids_have_slashes(server: SocketServer, tmp_path: Path) -> None:
    async with open_site(shop.create_app(server.url, str(tmp_path / "spool"), LONG_S)) as visitor:
        page = await visitor.get("/products/a%2Fb")
        assert (page.status_code, "<h1>a/b</h1>" in page.text) == (200, True)


def count_clicks(server: SocketServer) -> float:
    return sum(value for labels, value in server.read_metrics("nextup_feedback_total").items() if '"click"' in labels)


@pytest.mark.anyio
async def test_shop_is_open_while_the_service_is_away(tmp_path: Path) -> None:
    app = shop.create_app(CLOSED_PORT, str(tmp_path / "spool"))
    async with open_site(app) as visitor:
        page = await visitor.get("/products/%3Cb%3E")
        assert page.status_code == 200
        assert "&lt;b&gt;" in page.text
        assert "<b>" not in page.text
        app.state.events.close(timeout_s=0.01)
    assert b'"item_id":"<b>"' in (tmp_path / "spool").read_bytes()


@pytest.mark.anyio
async def test_video_page_shows_no_video_twice(server: SocketServer, new_user: Callable[[], str]) -> None:
    user = new_user()
    async with open_site(video_page.create_app(server.url, deadline_s=LONG_S)) as viewer:
        row = (await viewer.post(f"/viewers/{user}/plays/i3")).json()
        videos = [video["video"] for video in row["videos"]]
        while row["cursor"] is not None:
            row = (await viewer.get(f"/viewers/{user}/next", params={"cursor": row["cursor"]})).json()
            videos += [video["video"] for video in row["videos"]]
        assert sorted(videos) == sorted(f"i{number}" for number in range(1, 61) if number != 3)
        expired = await viewer.get(f"/viewers/{user}/next", params={"cursor": "old"})
        assert expired.status_code == 410


def test_stream_consumer_stores_each_order_once(
    redis_url: str, client: Client, new_user: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, stop = new_user(), threading.Event()
    monkeypatch.setattr(stream_consumer, "STREAM", f"orders-{user}")
    monkeypatch.setattr(stream_consumer, "WAIT_MS", 10)
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        add_order(redis, {"customer": user, "products": ["i1", "i2"]})
        add_order(redis, {"customer": user})
        redis.xgroup_create(stream_consumer.STREAM, stream_consumer.GROUP, id="0")
        read: Any = redis.xreadgroup(stream_consumer.GROUP, stream_consumer.CONSUMER, {stream_consumer.STREAM: ">"})
        assert len(read[0][1]) == 2, "an earlier run has read both orders and acknowledged none"
        first_id = read[0][1][0][0]
        client.ingest_events(events=list(stream_consumer.list_events(first_id, {"customer": user, "products": ["i1"]})))
        thread = threading.Thread(target=stream_consumer.consume, args=(redis, client, stop))
        thread.start()
        add_order(redis, {"customer": user, "products": ["i3"]})
        try:
            wait_until(lambda: len(client.read_history(user).events) == 3, LONG_S, "all orders are stored")
            wait_until(lambda: count_pending(redis) == 0, LONG_S, "all orders are acknowledged")
        finally:
            stop.set()
            thread.join(LONG_S)
    assert sorted(str(event.item_id) for event in client.read_history(user).events) == ["i1", "i2", "i3"]


def add_order(redis: Redis, order: dict[str, Any]) -> None:
    redis.xadd(stream_consumer.STREAM, {"order": json.dumps(order)})


def count_pending(redis: Redis) -> int:
    (group,) = redis.xinfo_groups(stream_consumer.STREAM)
    return int(group["pending"])


def test_quick_start_of_the_client_runs(
    server: SocketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = [block for block in find_code_blocks(CLIENT_README) if block.language == "python"]
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text.replace("http://127.0.0.1:8000", server.url), block.name, "exec", dont_inherit=True), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2", "3", "4", "5"]
    assert (tmp_path / "events.spool").exists()


@pytest.mark.slow
def test_notebook_trains_an_encoder_that_learns_more_than_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells run in order in one namespace, as a notebook runs them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = json.loads((EXAMPLES / "add_encoder.ipynb").read_text())["cells"]
    registry = dict(ENCODERS)
    try:
        for cell in cells:
            assert cell.get("outputs", []) == [], "outputs are not committed"
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), cell["id"], "exec", dont_inherit=True), names)
        assert set(ENCODERS) == {*registry, "gated_recurrent"}
    finally:
        del names["build"].ENCODERS["gated_recurrent"]
    ndcg = names["ndcg"]
    assert ndcg["gated_recurrent"] > ndcg["none"] + 0.05
    assert str(ndcg) in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.slow
def test_visitors_of_the_locustfile_ask_for_items_of_the_catalogue_only(
    client_settings: Settings, tmp_path: Path
) -> None:
    if importlib.util.find_spec("locust") is None:
        pytest.skip("locust is not among the test packages")
    path = EXAMPLES / "locustfile.py"
    words = ["--headless", "--users", "8", "--spawn-rate", "8", "--run-time", "6s", "--only-summary"]
    small = client_settings.with_changes(artifact=write_tiny_artifact(tmp_path, num_items=20))
    with serve_on_socket(small) as server:
        command = [sys.executable, "-m", "locust", "--locustfile", str(path), "--host", server.url, *words]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "POST /similar" in result.stdout + result.stderr
