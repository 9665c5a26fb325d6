"""Traces for an OpenTelemetry collector. Imported only where NEXTUP_OTLP_ENDPOINT is set: it needs the extra `otel`."""

from app.telemetry.tracing.spans import OpenTelemetry, open_tracing

__all__ = ["OpenTelemetry", "open_tracing"]
