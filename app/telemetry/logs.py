"""Log format: text for a terminal, or one JSON object per line for log collectors.

Passwords and keys are removed from every line, because libraries put URLs and headers into their errors. Equal
tracebacks are limited to one a minute (`traceback_limit.py`).
Both contain the id of the request being answered, and its trace if there is one. Uvicorn's lines have the same format.
Rule for all log lines: no user id and no item id at info level or above, except in the traceback of an internal error.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from app.redaction import redact_text
from app.settings import LogFormat
from app.telemetry.request_context import CURRENT_REQUEST_ID, CURRENT_TRACE


def log_config(log_format: LogFormat) -> dict[str, Any]:
    """Build the logging configuration, for dictConfig and for uvicorn's workers: all lines go to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"app.telemetry.logs.{FORMATTERS[log_format].__name__}"}},
        "filters": {"tracebacks": {"()": "app.telemetry.traceback_limit.TracebackLimit"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["tracebacks"]}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {name: {"level": "INFO"} for name in ("nextup", "models")},
    }


class JsonFormatter(logging.Formatter):
    """Formats time (RFC 3339), level, logger and message; request_id, trace_id and error (a traceback) if present."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_text(record.getMessage()),
            **_get_request_fields(),
        }
        if record.exc_info:
            line["error"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Formats lines for a terminal, with the fields of the request after the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - overrides a method of logging
        fields = " ".join(f"{name}={value}" for name, value in _get_request_fields().items())
        return f"{super().formatMessage(record)} [{fields}]" if fields else super().formatMessage(record)


FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def _get_request_fields() -> dict[str, str]:
    fields = {}
    if (request_id := CURRENT_REQUEST_ID.get()) is not None:
        fields["request_id"] = request_id
    if (trace := CURRENT_TRACE.get()) is not None:
        fields["trace_id"] = trace.trace_id
    return fields
