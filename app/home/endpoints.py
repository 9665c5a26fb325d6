"""GET /: a demo page in one file, without requests to other hosts."""

from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.home.docs import get_base
from app.http.routing import WholePathRoute

router = APIRouter(include_in_schema=False, route_class=WholePathRoute)
PAGE = files("app.home").joinpath("page.html").read_text(encoding="utf-8")
_BASE = '<base href="/">'
assert PAGE.count(_BASE) == 1, "links and calls of the page are relative to its base"


@router.get("/")
async def home(request: Request) -> HTMLResponse:
    page = PAGE.replace(_BASE, f'<base href="{get_base(request)}/">')
    return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src data:"})
