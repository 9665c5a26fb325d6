"""Memory of a connection that waits for its next request."""

import asyncio
import sys
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from app.http.connections import ConnectionGuard
from app.http.protocols import PROTOCOL
from app.settings import Settings


def test_dictionary_of_a_connection_has_no_hash_table_of_its_own() -> None:
    attributes = asyncio.run(_read_attributes())
    assert sys.getsizeof(attributes) < sys.getsizeof(dict(attributes))


async def _read_attributes() -> dict[str, Any]:
    """Open some connections: classes learn the names of their attributes from the first ones."""
    config = Config(lambda: None, http=PROTOCOL, log_config=None)
    config.load()
    state = {"connections": ConnectionGuard(Settings())}
    loop = asyncio.get_running_loop()
    connections = [PROTOCOL(config, ServerState(), state, _loop=loop) for _ in range(3)]
    attributes: dict[str, Any] = vars(connections[-1])
    return attributes
