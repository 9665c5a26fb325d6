"""Whether a process traces: only where NEXTUP_OTLP_ENDPOINT is set is OpenTelemetry, an extra, imported at all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.settings import Settings
from app.telemetry.request_context import Tracing

FLUSH_S = 3.0
"""For the last spans, after the requests had their time to end; a collector that answers needs milliseconds."""


@asynccontextmanager
async def start_tracing(settings: Settings) -> AsyncIterator[Tracing | None]:
    """Until the block ends, and then for what has not left yet; None where nobody asked for traces."""
    if settings.otlp_endpoint is None:
        yield None
        return
    from app.telemetry.tracing import open_tracing

    flush_s = min(settings.drain_s, FLUSH_S)
    opened = open_tracing(
        settings.otlp_endpoint, sample_ratio=settings.trace_sample_ratio, max_links=settings.max_batch, flush_s=flush_s
    )
    async with opened as tracing:
        yield tracing
