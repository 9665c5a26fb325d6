"""/docs and /redoc: interactive documentation from /openapi.json, without requests to other hosts.

The scripts come from the package fastapi-standalone-docs. Its own class is not used: it replaces functions of FastAPI
for all applications of the process.
"""

from html import escape
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse

from app.http.routing import LenientRoute
from app.http.security_headers import build_page_headers

ASSETS = str(files("fastapi_standalone_docs").joinpath("static"))
NO_ICON = "data:,"
# Redoc searches in a worker that it starts from a blob.
PAGE_HEADERS = build_page_headers("img-src 'self' data:; worker-src 'self' blob:")

router = APIRouter(include_in_schema=False, route_class=LenientRoute)


def mount_docs(app: FastAPI) -> None:
    """Add both pages and their scripts to the application."""
    app.include_router(router)
    app.mount("/docs", StaticFiles(directory=f"{ASSETS}/swagger"))
    app.mount("/redoc", StaticFiles(directory=f"{ASSETS}/redoc"))


@router.get("/docs")
async def show_swagger(request: Request) -> HTMLResponse:
    base = get_base(request)
    page = get_swagger_ui_html(
        openapi_url=f"{base}/openapi.json",
        title="nextup API",
        swagger_js_url=f"{base}/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{base}/docs/swagger-ui.css",
        swagger_favicon_url=NO_ICON,
        swagger_ui_parameters={"validatorUrl": None},  # it would send the schema's address to another host
    )
    return _with_headers(page)


@router.get("/redoc")
async def show_redoc(request: Request) -> HTMLResponse:
    base = get_base(request)
    page = get_redoc_html(
        openapi_url=f"{base}/openapi.json",
        title="nextup API",
        redoc_js_url=f"{base}/redoc/redoc.standalone.js",
        redoc_favicon_url=NO_ICON,
        with_google_fonts=False,
    )
    return _with_headers(page)


def get_base(request: Request) -> str:
    """Return the path prefix of a proxy, escaped for HTML."""
    return escape(str(request.scope.get("root_path", "")).rstrip("/"))


def _with_headers(page: HTMLResponse) -> HTMLResponse:
    page.headers.update(PAGE_HEADERS)
    return page
