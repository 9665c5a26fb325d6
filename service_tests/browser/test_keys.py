"""The page with API keys behind a path prefix: it asks for a key, keeps it for the tab, and names a missing scope."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")
from playwright.sync_api import expect

from app.api_keys import generate_key
from service_tests.browser.open_page import OpenPage, open_context
from service_tests.support.nextup_process import run_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]
PREFIX = "/shop"
READER, READER_ENTRY = generate_key("reader", ["read"])
WRITER, WRITER_ENTRY = generate_key("writer", ["read", "write"])


@pytest.fixture(scope="module")
def keyed_url(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("keys")
    keys = f"{READER_ENTRY},{WRITER_ENTRY}"
    with run_service(
        folder, "--artifact", str(tiny_artifact), NEXTUP_API_KEYS=keys, NEXTUP_ROOT_PATH=PREFIX
    ) as service:
        yield service.url + PREFIX


@pytest.fixture
def keyed(browser: "Browser", keyed_url: str) -> Iterator[OpenPage]:
    with open_context(browser, keyed_url) as page:
        yield page
        assert [error for error in page.errors if "401" not in error and "403" not in error] == []


def enter_key(page: OpenPage, key: str) -> None:
    page.page.get_by_label("API key").fill(key)
    page.page.get_by_role("button", name="Use", exact=True).click()


def test_key_is_asked_for_and_kept_for_the_tab_only(keyed: OpenPage, browser: "Browser", keyed_url: str) -> None:
    keyed.open("?user=ada")
    expect(keyed.page.locator("#key-note")).to_contain_text("needs an API key")
    enter_key(keyed, "nonsense")
    expect(keyed.page.locator("#key-note")).to_contain_text("does not know this key")
    enter_key(keyed, WRITER)
    keyed.wait_for_answer()
    expect(keyed.page.locator("#problem")).to_be_hidden()
    assert keyed.page.url == f"{keyed_url}/?user=ada", "no key, and behind the prefix"
    expect(keyed.page.get_by_role("link", name="API")).to_have_attribute("href", "docs")
    assert keyed.page.evaluate("Object.values(sessionStorage)") == [WRITER]
    assert WRITER not in keyed.page.evaluate("document.cookie + JSON.stringify(localStorage)")
    assert keyed.page.locator("#key-value").input_value() == "", "the field does not show the key"
    keyed.page.reload()
    keyed.wait_for_answer()
    with open_context(browser, keyed_url) as other:
        other.open("?user=ada")
        expect(other.page.locator("#key-note")).to_contain_text("needs an API key")
    keyed.page.get_by_role("button", name="Forget").click()
    expect(keyed.page.locator("#problem")).to_contain_text("no API key")
    assert keyed.page.evaluate("sessionStorage.length") == 0
    assert keyed.page.url == f"{keyed_url}/", "the next person sees neither the user nor the answer"
    expect(keyed.cards).to_have_count(0)
    expect(keyed.page.locator("#view-recommend")).not_to_contain_text("ada")


def test_key_without_the_scope_write_cannot_choose(keyed: OpenPage) -> None:
    keyed.open("?user=ada")
    enter_key(keyed, READER)
    keyed.wait_for_answer()
    before = keyed.read_items()
    keyed.cards.first.get_by_role("button", name="Choose").click()
    expect(keyed.page.locator("#problem")).to_contain_text("lacks scope 'write'")
    expect(keyed.page.locator("#key-note")).to_contain_text("write to choose items")
    assert keyed.read_items() == before
