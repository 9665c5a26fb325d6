"""GET /: a demo page in one file, without requests to other hosts."""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.http.routing import WholePathRoute

router = APIRouter(include_in_schema=False, route_class=WholePathRoute)
PAGE = files("app.home").joinpath("page.html").read_text(encoding="utf-8")


@router.get("/")
async def home() -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src data:"})
