"""GET /: a page for people, and GET /page/{name}: its scripts and styles, without requests to other hosts."""

from functools import lru_cache

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.errors import NotFound
from app.home.docs import get_base
from app.home.page_files import PageFile, build_page_file, load_page_files, matches_etag
from app.http.routing import LenientRoute
from app.http.security_headers import STRICT_PAGE_HEADERS

router = APIRouter(include_in_schema=False, route_class=LenientRoute)
FILES = load_page_files()
INDEX = FILES.pop("index.html")
_BASE = b'<base href="/">'
assert INDEX.content.count(_BASE) == 1, "links and calls of the page are relative to its base"
# After an upgrade the next load of the page has the new files; a file that is still current costs a 304.
CACHE_HEADERS = {"Cache-Control": "no-cache"}


@router.get("/")
async def home(request: Request) -> Response:
    return _respond(request, _build_index(get_base(request)))


@router.get("/page/{name}")
async def show_file(name: str, request: Request) -> Response:
    file = FILES.get(name)
    if file is None:
        raise NotFound("no such file of the page; reload the page")
    return _respond(request, file)


@lru_cache(maxsize=8)
def _build_index(base: str) -> PageFile:
    """Return the page behind the path prefix of a proxy."""
    content = INDEX.content.replace(_BASE, f'<base href="{base}/">'.encode())
    return build_page_file(content, INDEX.media_type)


def _respond(request: Request, file: PageFile) -> Response:
    headers = {**STRICT_PAGE_HEADERS, **CACHE_HEADERS, "ETag": file.etag}
    if matches_etag(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
