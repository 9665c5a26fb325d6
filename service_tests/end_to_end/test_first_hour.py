"""The first hour with nextup: the tutorial line by line, and the same steps in other documents."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.code_blocks import ROOT, CodeBlock, find_code_block, find_code_blocks, get_nextup_arguments
from service_tests.support.nextup_process import RunningService, run_nextup, run_service

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

TUTORIAL = [block for block in find_code_blocks(ROOT / "docs/tutorial.md") if block.language != "text"]
SERVE = next(block for block in TUTORIAL if "nextup serve" in block.text)
BEFORE_SERVE, REQUESTS, NIGHT, ROLLBACK = (
    TUTORIAL[: TUTORIAL.index(SERVE)],
    TUTORIAL[TUTORIAL.index(SERVE) + 1 : -2],
    TUTORIAL[-2],
    TUTORIAL[-1],
)
IMPORT = find_code_block("docs/training/logs.md", "nextup inspect orders.csv")
PUBLISH = find_code_block("README.md", "nextup publish var/next")
RECOUNT = find_code_block("docs/architecture/model-lifecycle.md", "--recount")
PAGE_ADDRESS = "http://127.0.0.1:8000/?user=C3"
SHORT = ["--epochs", "4", "--category-vectors", "off"]


@dataclass(frozen=True)
class Shop:
    """A trained shop; `results` has the JSON of each command, `errors` its notes."""

    folder: Path
    results: dict[str, dict[str, Any]]
    errors: dict[str, str]
    service: RunningService

    def recommend(self, user: str) -> dict[str, Any]:
        response = httpx.post(f"{self.service.url}/recommend", json={"user_id": user, "k": 5}, timeout=60)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


def run(folder: Path, words: list[str], *, cwd: Path | None = None, port: str = "") -> tuple[dict[str, Any], str]:
    """Run a command that must succeed; return its JSON result and its notes."""
    variables = {"NEXTUP_PORT": port} if port else {}
    process = run_nextup(folder / "data", *words, cwd=cwd or folder, **variables)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result, process.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Write, inspect, train and load as the tutorial says, then serve."""
    folder = tmp_path_factory.mktemp("shop")
    results, errors = {}, {}
    for block in BEFORE_SERVE:
        if block.language == "python":
            subprocess.run([sys.executable, "-W", "error", "-c", block.text], cwd=folder, check=True)
            continue
        for words in read_nextup_commands(block):
            results[words[0]], errors[words[0]] = run(folder, words)
    ((_, *options),) = read_nextup_commands(SERVE)
    with run_service(folder / "data", *options, cwd=folder) as service:
        yield Shop(folder, results, errors, service)


def read_nextup_commands(block: CodeBlock) -> list[list[str]]:
    commands = [get_nextup_arguments(words) for words in block.split_commands()]
    return [words for words in commands if words is not None]


def request(words: list[str], service: RunningService) -> dict[str, Any]:
    """Run a line with curl; return the answer."""
    assert words[0] == "curl"
    command = [word.replace("http://127.0.0.1:8000", service.url) for word in words]
    process = subprocess.run([*command, "--fail"], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer


def list_items(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_requests_of_the_tutorial_are_answered_as_it_says(shop: Shop) -> None:
    lines = [words for block in REQUESTS for words in block.split_commands()]
    before, event, after, sold_out, last = (request(words, shop.service) for words in lines)
    assert "P-7" in list_items(before)
    assert "title" in before["items"][0]
    assert event["stored"] == 1
    assert after["history_length"] == before["history_length"] + 1
    assert "P-32" in list_items(after)
    assert after["items"][0]["because"]
    assert sold_out["results"][0]["status"] == "created"
    assert "P-32" not in list_items(last)
    assert {answer["served_by"] for answer in (before, after, last)} == {"model"}


def test_page_of_the_tutorial_is_served(shop: Shop) -> None:
    assert PAGE_ADDRESS in (ROOT / "docs/tutorial.md").read_text()
    page = httpx.get(PAGE_ADDRESS.replace("http://127.0.0.1:8000", shop.service.url), timeout=60).raise_for_status()
    assert page.headers["content-type"].startswith("text/html")


def test_inspect_names_the_columns_and_the_zone(shop: Shop) -> None:
    assert shop.results["inspect"]["reading_options"] == "--columns user=customer,item=sku,time=bought_at"
    assert "times without an offset are read as UTC" in shop.errors["inspect"]


def test_model_beats_popular_or_the_command_warns(shop: Shop) -> None:
    trained = shop.results["train"]
    (popular,) = (row["ndcg@10"] for row in trained["baselines"] if row["name"] == "popular")
    assert trained["ndcg@10"] > popular or "warning: " in shop.errors["train"]
    assert trained["plan"]["limit_s"] == 60
    assert trained["seconds"] < 60
    assert "products.csv describes 40 of 40 items of the log" in shop.errors["train"]


def test_every_step_reads_the_same_events(shop: Shop) -> None:
    assert shop.results["inspect"]["funnel"] == shop.results["train"]["funnel"] == shop.results["load"]["funnel"]
    assert shop.results["load"]["stored"] == shop.results["train"]["events"]


def test_event_changes_the_answer(shop: Shop) -> None:
    before = shop.recommend("C3")
    bought = before["items"][-1]["item_id"]
    event = {"user_id": "C3", "item_id": bought}
    stored = httpx.post(f"{shop.service.url}/events", json={"events": [event]}, timeout=60).raise_for_status().json()
    assert (stored["stored"], stored["results"][0]["known_item"]) == (1, True)
    after = shop.recommend("C3")
    assert after["history_length"] == before["history_length"] + 1
    assert before["served_by"] == after["served_by"] == "model"
    ids = [item["item_id"] for item in after["items"]]
    assert bought not in ids
    assert ids[:3] != [item["item_id"] for item in before["items"][:3]], "the bought item was the fifth"


@pytest.mark.parametrize("block", [NIGHT, RECOUNT], ids=lambda block: str(block.document))
def test_published_version_answers_until_it_is_rolled_back(block: CodeBlock, shop: Shop, tmp_path: Path) -> None:
    replaced = previous = shop.recommend("C3")["model_version"]
    shutil.copy(shop.folder / "products.csv", tmp_path)
    port = shop.service.url.rpartition(":")[2]
    published: dict[str, Any] = {}
    for night in range(2):
        published = run_night(block, shop, tmp_path, port)
        answer = shop.recommend("C3")
        assert published["previous"] == previous
        assert (answer["model_version"], answer["served_by"]) == (published["version"], "model")
        assert night or published["version"] != previous
        replaced, previous = previous, published["version"]
    (rollback,) = read_nextup_commands(ROLLBACK)
    assert run(shop.folder, rollback, port=port)[0]["active"] == replaced
    assert shop.recommend("C3")["model_version"] == replaced


def run_night(block: CodeBlock, shop: Shop, folder: Path, port: str) -> dict[str, Any]:
    """Run all lines of a nightly loop; return the result of the last one."""
    published: dict[str, Any] = {}
    for words in block.split_commands():
        arguments = get_nextup_arguments(words)
        if arguments is None:
            assert words[:2] == ["rm", "-rf"]
            assert not any(Path(word).is_absolute() or ".." in word for word in words[2:])
            subprocess.run(words, check=True, cwd=folder)
            continue
        more = SHORT if arguments[0] == "train" else []
        arguments = use_products(arguments)
        published, _ = run(shop.folder, [*arguments, *more], cwd=folder, port=port)
    return published


def use_products(arguments: list[str]) -> list[str]:
    """Name the file of the tutorial, and its column of ids, in place of `items.parquet`."""
    products = ["products.csv", "--columns", "items.item=sku"]
    return [word for each in arguments for word in (products if each == "items.parquet" else [each])]


def test_other_documents_give_the_lines_of_the_tutorial() -> None:
    assert find_code_block("docs/getting-started.md", "nextup publish var/next").text == PUBLISH.text
    nightly = [use_products(words) for words in read_nextup_commands(PUBLISH)]
    assert nightly == read_nextup_commands(NIGHT)
    inspect, train, _ = [words for block in BEFORE_SERVE for words in read_nextup_commands(block)]
    limit = ["--max-minutes", "1"]
    imported = read_nextup_commands(IMPORT)
    assert [imported[0], [*imported[1], *limit]] == [inspect, train]
