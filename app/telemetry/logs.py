"""What a log line looks like: text for people, or one JSON object per line for whoever collects them.

Both carry the id of the request that was being answered, and its trace where there is one. Uvicorn's own lines have the
same form. It knows not what is logged; the rule for that is: no user id and no item id at info level or above, but in
the trace of an error of ours.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from app.settings import LogFormat
from app.telemetry.request_context import CURRENT_REQUEST_ID, CURRENT_TRACE


def log_config(log_format: LogFormat) -> dict[str, Any]:
    """For logging.config.dictConfig, and for uvicorn, which gives it to its workers: everything to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"app.telemetry.logs.{FORMATTERS[log_format].__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {name: {"level": "INFO"} for name in ("nextup", "models")},
    }


class JsonFormatter(logging.Formatter):
    """time (RFC 3339), level, logger, message; request_id, trace_id and error (a Python traceback) where there are."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_of_the_request(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """The same for a terminal, with what belongs to the request behind the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        told = " ".join(f"{name}={value}" for name, value in _of_the_request().items())
        return f"{super().formatMessage(record)} [{told}]" if told else super().formatMessage(record)


FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def _of_the_request() -> dict[str, str]:
    found = {}
    if (request_id := CURRENT_REQUEST_ID.get()) is not None:
        found["request_id"] = request_id
    if (trace := CURRENT_TRACE.get()) is not None:
        found["trace_id"] = trace.trace_id
    return found
