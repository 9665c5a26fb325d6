"""The files of the page, read once: scripts, styles and the icon, with their types and entity tags."""

import hashlib
from importlib.resources import files
from typing import NamedTuple

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class PageFile(NamedTuple):
    content: bytes
    media_type: str
    etag: str


def load_page_files() -> dict[str, PageFile]:
    """Read all files of the folder `page` into a dict with their names as keys."""
    entries = files("app.home").joinpath("page").iterdir()
    return {
        entry.name: build_page_file(entry.read_bytes(), MEDIA_TYPES[suffix])
        for entry in entries
        if (suffix := entry.name.rpartition(".")[2]) in MEDIA_TYPES
    }


def build_page_file(content: bytes, media_type: str) -> PageFile:
    return PageFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def matches_etag(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the entity tag; weak tags count as equal to strong ones (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return etag in tags or "*" in tags
