"""The page's files: types, headers, entity tags, and modules that are all there."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from pathlib import PurePosixPath

import pytest

from app.api_keys import generate_key
from app.home.endpoints import FILES, INDEX
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
FOLDER = files("app.home").joinpath("page")
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'](?P<target>[^"']+)["']""")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
MAX_LINES = 250


async def test_every_file_has_its_type_and_the_headers_of_the_page(service: Service) -> None:
    assert len(SCRIPTS) > 10
    for name in FILES:
        response = await service.http.get(f"/page/{name}")
        assert response.status_code == 200, name
        assert response.headers["content-type"] == TYPES[PurePosixPath(name).suffix]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-cache"
        assert response.content == FOLDER.joinpath(name).read_bytes()


async def test_policy_of_the_page_allows_nothing_inline_and_no_other_host(service: Service) -> None:
    response = await service.http.get("/")
    policy = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'", "a text must not become HTML"
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert re.search(r"<style|style=|<script>|\son\w+=", response.text) is None, "the policy blocks inline code"


@pytest.mark.parametrize("path", ["/", "/page/main.js"])
async def test_file_that_did_not_change_is_not_sent_again(path: str, service: Service) -> None:
    first = await service.http.get(path)
    etag = first.headers["etag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await service.http.get(path, headers={"if-none-match": header})
        assert (again.status_code, again.content) == (304, b""), header
        assert again.headers["etag"] == etag
    changed = await service.http.get(path, headers={"if-none-match": '"other"'})
    assert (changed.status_code, changed.content) == (200, first.content)


async def test_head_of_a_file_is_that_of_get(service: Service) -> None:
    response = await service.http.head("/page/tokens.css")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) == len(FILES["tokens.css"].content)


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "__init__.py", "../endpoints.py", "..%2Fendpoints.py", "main.js%0A", ""]
)
async def test_other_paths_of_the_folder_are_not_found(name: str, service: Service) -> None:
    response = await service.http.get(f"/page/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_files_need_no_key_and_work_behind_a_path_prefix(
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    async with service_with(root_path="/shop", api_keys=generate_key("reader", ["read"])[1]) as service:
        page = await service.http.get("/shop/")
        assert '<base href="/shop/">' in page.text
        assert page.headers["etag"] != INDEX.etag, "the page differs from that of another prefix"
        for name in ("main.js", "tokens.css"):
            assert (await service.http.get(f"/shop/page/{name}")).status_code == 200
        assert (await service.http.get("/shop/models")).status_code == 401


def test_imported_modules_and_linked_files_exist() -> None:
    for name in SCRIPTS:
        for target in IMPORT.findall(FILES[name].content.decode()):
            assert target.removeprefix("./") in FILES, f"{name} imports {target}"
    linked = re.findall(r'(?:src|href)="page/([^"]+)"', INDEX.content.decode())
    assert set(linked) <= set(FILES)
    assert {name for name in FILES if name.endswith(".css")} <= set(linked), "a style that no page uses"


def test_scripts_use_ids_that_the_page_has() -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', INDEX.content.decode()))
    for name in SCRIPTS:
        used = set(re.findall(r"""(?<![.\w])get\("([^"]+)"\)""", FILES[name].content.decode()))
        assert used <= ids, name


def test_scripts_are_short_and_put_data_into_text_only() -> None:
    for name in [*SCRIPTS, *(name for name in FILES if name.endswith(".css"))]:
        text = FILES[name].content.decode()
        assert len(text.splitlines()) <= MAX_LINES, name
        markup = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.cssText", text
        )
        assert markup is None, f"{name} uses {markup}"
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), f"{name} has an address of another host"
