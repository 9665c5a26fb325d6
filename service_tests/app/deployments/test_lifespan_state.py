"""The application behind a server that does not pass the lifespan state to requests, such as Ray Serve."""

from collections.abc import AsyncIterator

import httpx
import pytest
from uvicorn import Config
from uvicorn.lifespan.on import LifespanOn

from app.deployments.lifespan_state import LifespanStateMiddleware
from app.lifespan import AppState
from app.main import create_app
from app.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[LifespanStateMiddleware]:
    """The application with its lifespan started by the class that Ray uses."""
    app = LifespanStateMiddleware(create_app(settings))
    lifespan = LifespanOn(Config(app, lifespan="on", log_config=None))
    await lifespan.startup()
    assert not lifespan.should_exit
    yield app
    await lifespan.shutdown()


@pytest.fixture
async def http(app: LifespanStateMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("body", [{"history": ["i7"]}, {"history": ["i7"], "explain": False}])
async def test_requests_receive_the_lifespan_state(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    response = await http.post("/recommend", json=body)
    assert (response.status_code, response.json()["served_by"]) == (200, "model")
    assert (await http.get("/readyz")).status_code == 200


async def test_state_of_a_request_is_not_shared(app: LifespanStateMiddleware, http: httpx.AsyncClient) -> None:
    names = set(app.state)
    await http.post("/recommend", json={"history": ["i7"]})
    assert set(app.state) == names == set(AppState.__annotations__)
