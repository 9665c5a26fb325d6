"""Traces for an OpenTelemetry collector, exported only if NEXTUP_OTLP_ENDPOINT is set.

OpenTelemetry is an optional extra (`otel`), so `spans` and `export`, which need it, are imported on first use.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.settings import Settings, get_plain_value
from app.telemetry.request_context import Tracing

MAX_FLUSH_S = 3.0
"""Longest wait for the last spans after requests have drained; a collector that responds needs milliseconds."""


def start_tracing_by_settings(settings: Settings) -> AbstractAsyncContextManager[Tracing | None]:
    """Trace as the settings say until the block ends."""
    return start_tracing(
        get_plain_value(settings.otlp_endpoint),
        sample_ratio=settings.trace_sample_ratio,
        max_links=settings.max_batch,
        drain_s=settings.drain_s,
    )


@asynccontextmanager
async def start_tracing(
    endpoint: str | None, *, sample_ratio: float, max_links: int, drain_s: float
) -> AsyncIterator[Tracing | None]:
    """Trace until the block ends, then flush the last spans; None without an endpoint."""
    if endpoint is None:
        yield None
        return
    from app.telemetry.tracing.spans import open_tracing

    flush_s = min(drain_s, MAX_FLUSH_S)
    async with open_tracing(endpoint, sample_ratio=sample_ratio, max_links=max_links, flush_s=flush_s) as tracing:
        yield tracing
