"""The pages for people load nothing from other hosts, also behind a path prefix and with API keys."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from app.api_keys import generate_key
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


class Links(HTMLParser):
    """Collects the addresses of everything that a page loads or links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.base, self.urls = "", list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        urls = [value for name, value in attrs if name in ("src", "href", "spec-url") and value]
        if tag == "base":
            self.base = urls.pop()
        self.urls += [url for url in urls if not url.startswith("data:")]


@pytest.mark.parametrize("prefix", ["", "/shop"])
@pytest.mark.parametrize("path", ["/", "/docs", "/redoc"])
async def test_page_loads_everything_from_the_service(
    path: str, prefix: str, service_with: Callable[..., AbstractAsyncContextManager[Service]]
) -> None:
    async with service_with(root_path=prefix, api_keys=generate_key("reader", ["read"])[1]) as service:
        response = await service.http.get(prefix + path)
        assert response.status_code == 200
        policy = "default-src 'none';" if path == "/" else "default-src 'self' 'unsafe-inline';"
        assert response.headers["content-security-policy"].startswith(policy)
        assert "//" not in re.sub(r"//\n", "", response.text).replace("</", ""), "an address of another host"
        links = Links(response.text)
        assert len(links.urls) >= 1
        for url in links.urls:
            address = urljoin(prefix + path, urljoin(links.base, url))
            assert address.startswith(f"{prefix}/"), address
            status = (await service.http.get(address)).status_code
            assert (status == 200) or (path == "/" and status == 401), address


async def test_documentation_shows_the_schema(service: Service) -> None:
    page = (await service.http.get("/docs")).text
    assert "url: '/openapi.json'" in page
    assert '"validatorUrl": null' in page, "the validator of Swagger UI is on another host"
    script = await service.http.get("/docs/swagger-ui-bundle.js")
    assert len(script.content) > 1_000_000
    assert script.headers["content-type"].startswith("text/javascript")
    assert (await service.http.get("/docs/nothing.js")).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/docs/../../pyproject.toml", "/docs/%2e%2e/%2e%2e/app/main.py", "/docs/..%2Fredoc"])
async def test_folder_of_scripts_has_no_way_out(path: str, service: Service) -> None:
    assert (await service.http.get(path)).status_code == 404
