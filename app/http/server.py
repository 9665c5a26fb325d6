"""Options of the HTTP server that depend on the settings of the HTTP edge."""

from typing import Any

from app.http.protocols import PROTOCOL
from app.settings import Settings


def build_server_options(settings: Settings) -> dict[str, Any]:
    """Build the options of `uvicorn.Config` that depend on the settings of the HTTP edge."""
    return {
        "http": PROTOCOL,
        "ws": "none",
        "h11_max_incomplete_event_size": settings.max_head_bytes,
    }
