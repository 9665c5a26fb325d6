"""Settings of the event log and of its archive. Part of app/settings.py."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_URL = re.compile(r"(s3|s3a|gs|gcs|az|azure|abfs|abfss)://[^/\s?#@]+(/[^\s?#]*)?")


class ArchiveSettings(BaseSettings):
    """Settings of the event log, of the archiver, and of commands that read the archive."""

    event_log: Literal["on", "off"] = Field(default="on", description="keep every accepted event in the event log")
    event_log_max_entries: int = Field(
        default=1_000_000, ge=100, description="maximum entries of the event log in Redis, per stream"
    )
    event_log_full: Literal["reject", "drop-oldest"] = Field(
        default="reject", description="at the maximum, reject events with 503 or drop the oldest unarchived ones"
    )
    event_log_dir: str | None = Field(
        default=None,
        description="folder, or s3://, gs:// or az:// URL, of the archive of the event log; unset = events in "
        "NEXTUP_DATA_DIR",
    )
    archive: Literal["auto", "off"] = Field(
        default="auto",
        description="auto: the service moves the event log from Redis to the archive; off: `nextup archive` does",
    )
    archive_s: float = Field(default=60.0, ge=0.1, le=600, description="seconds between two rounds of the archiver")

    @property
    def event_log_limit(self) -> int:
        """Entries that one stream of the event log may have; 0 if no events are logged."""
        return self.event_log_max_entries if self.event_log == "on" else 0

    @field_validator("event_log_dir")
    @classmethod
    def _check_location(cls, text: str | None) -> str | None:
        if text is None or not text.strip():
            return None
        text = text.strip()
        if not is_url(text):
            return str(Path(text).expanduser())
        if not _URL.fullmatch(text):
            raise ValueError("must be a folder, or a URL such as s3://bucket/folder without user and password")
        return text.rstrip("/")


def is_url(location: str) -> bool:
    """Whether the location of an archive is in an object store."""
    return "://" in location
