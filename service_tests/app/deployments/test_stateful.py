"""The application behind a server that hands no state to requests, as Ray's."""

from collections.abc import AsyncIterator

import httpx
import pytest
from uvicorn import Config
from uvicorn.lifespan.on import LifespanOn

from app.deployments.stateful import Stateful
from app.lifespan import AppState
from app.main import create_app
from app.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Stateful]:
    """Its lifespan is run by what Ray runs it with."""
    app = Stateful(create_app(settings))
    lifespan = LifespanOn(Config(app, lifespan="on", log_config=None))
    await lifespan.startup()
    assert not lifespan.should_exit
    yield app
    await lifespan.shutdown()


@pytest.fixture
async def http(app: Stateful) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://nextup.test") as client:
        yield client


@pytest.mark.parametrize("body", [{"history": ["i7"]}, {"history": ["i7"], "explain": False}])
async def test_requests_find_what_the_lifespan_opened(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await http.post("/recommend", json=body)
    assert (answer.status_code, answer.json()["served_by"]) == (200, "model")
    assert (await http.get("/readyz")).status_code == 200


async def test_what_a_request_notes_is_its_own(app: Stateful, http: httpx.AsyncClient) -> None:
    opened = set(app.state)
    await http.post("/recommend", json={"history": ["i7"]})
    assert set(app.state) == opened == set(AppState.__annotations__)
