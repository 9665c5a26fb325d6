"""The first hour with nextup: from a shop's exports to a second version, by the lines that the documents give."""

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.code_blocks import CodeBlock, find_code_block, get_nextup_arguments
from service_tests.support.nextup_process import RunningService, run_nextup, run_service

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

ITEMS = [f"P-{number}" for number in range(40)]
USERS = 240
IMPORT = find_code_block("docs/training/logs.md", "nextup inspect orders.csv")
LOAD = ["load", "orders.csv", "--columns", "user=customer,item=sku,time=bought_at"]
PUBLISH = find_code_block("README.md", "nextup publish var/next")
RECOUNT = find_code_block("docs/architecture/model-lifecycle.md", "--recount")
MAX_MINUTES = ["--max-minutes", "1"]
FEW_EPOCHS = ["--epochs", "4"]


@dataclass(frozen=True)
class Shop:
    """A trained shop; `results` has the JSON of each command, `errors` its notes."""

    folder: Path
    results: dict[str, dict[str, Any]]
    errors: dict[str, str]
    service: RunningService

    def recommend(self, user: str) -> dict[str, Any]:
        response = httpx.post(f"{self.service.url}/recommend", json={"user_id": user, "k": 5})
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


def write_exports(folder: Path) -> None:
    """Write orders.csv, where customers read two series in turn, and products.csv.

    The next order depends on the last but one, so that a model can beat the baselines, as `nextup publish` requires.
    """
    rng = random.Random(7)
    rows = []
    for user in range(USERS):
        bought_at = datetime(2024, 1, 5, 10) + timedelta(minutes=rng.randrange(90_000))
        positions = [rng.randrange(len(ITEMS)), rng.randrange(len(ITEMS))]
        for step in range(rng.randint(6, 12)):
            series = step % 2
            rows.append((f"{bought_at:%Y-%m-%d %H:%M:%S}", f"C{user}", ITEMS[positions[series] % len(ITEMS)]))
            bought_at += timedelta(minutes=rng.randint(5, 3000))
            positions[series] += 1 if rng.random() < 0.92 else rng.randrange(len(ITEMS))
    lines = "".join(f"{','.join(row)}\n" for row in sorted(rows))
    (folder / "orders.csv").write_text(f"bought_at,customer,sku\n{lines}")
    (folder / "products.csv").write_text("sku,title\n" + "".join(f"{item},Product {item}\n" for item in ITEMS))


def run(folder: Path, words: list[str], *, cwd: Path | None = None, port: str = "") -> tuple[dict[str, Any], str]:
    """Run a command that must succeed; return its JSON result and its notes."""
    variables = {"NEXTUP_PORT": port} if port else {}
    process = run_nextup(folder / "data", *words, cwd=cwd or folder, **variables)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result, process.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Inspect, train and load as the documents say, then serve."""
    folder = tmp_path_factory.mktemp("shop")
    write_exports(folder)
    results, errors = {}, {}
    for words in [*read_nextup_commands(IMPORT), LOAD]:
        more = MAX_MINUTES if words[0] == "train" else []
        results[words[0]], errors[words[0]] = run(folder, [*words, *more])
    with run_service(folder / "data", "--artifact", str(folder / "var/shop")) as service:
        yield Shop(folder, results, errors, service)


def read_nextup_commands(block: CodeBlock) -> list[list[str]]:
    commands = [get_nextup_arguments(words) for words in block.split_commands()]
    return [words for words in commands if words is not None]


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
    stored = httpx.post(f"{shop.service.url}/events", json={"events": [event]}).raise_for_status().json()
    assert (stored["stored"], stored["results"][0]["known_item"]) == (1, True)
    after = shop.recommend("C3")
    assert after["history_length"] == before["history_length"] + 1
    assert before["served_by"] == after["served_by"] == "model"
    ids = [item["item_id"] for item in after["items"]]
    assert bought not in ids
    assert ids[:3] != [item["item_id"] for item in before["items"][:3]], "the bought item was the fifth"


@pytest.mark.parametrize("block", [PUBLISH, RECOUNT], ids=lambda block: str(block.document))
def test_published_version_answers(block: CodeBlock, shop: Shop, tmp_path: Path) -> None:
    previous = shop.recommend("C3")["model_version"]
    shutil.copy(shop.folder / "products.csv", tmp_path)
    port = shop.service.url.rpartition(":")[2]
    published: dict[str, Any] = {}
    for words in read_nextup_commands(block):
        arguments = [word.replace("items.parquet", "products.csv") for word in words]
        more = ["--columns", "items.item=sku", *FEW_EPOCHS] if words[0] == "train" else []
        published, _ = run(shop.folder, [*arguments, *more], cwd=tmp_path, port=port)
    answer = shop.recommend("C3")
    assert published["previous"] == previous != published["version"]
    assert (answer["model_version"], answer["served_by"]) == (published["version"], "model")


def test_getting_started_gives_the_line_of_the_readme() -> None:
    assert find_code_block("docs/getting-started.md", "nextup publish var/next").text == PUBLISH.text
