"""Attributes from the live catalogue to a training, and from its artifact to the place of a new item, over HTTP."""

import asyncio
import json
from pathlib import Path

import pytest

from app.commands.main import main
from app.settings import Settings
from models.catalogue.files import open_catalogue
from service_tests.support.redis_server import clear_live_catalogue
from service_tests.support.service import Service, run_service

pytestmark = pytest.mark.anyio

SMALL = ["--epochs", "15", "--dim", "16", "--max-len", "20", "--batch-cells", "128", "--learning-rate", "0.01"]
BRANDS = {"Lumen": [f"i{number}" for number in range(15)], "Argent": [f"i{number}" for number in range(15, 30)]}


def write_log(path: Path) -> Path:
    """Every user takes items of one brand."""
    lines = ["user_id,item_id,timestamp"]
    for user in range(60):
        items = list(BRANDS.values())[user % 2]
        lines += [f"u{user},{items[(user + step) % 15]},{1_700_000_000 + 60 * step}" for step in range(12)]
    path.write_text("\n".join(lines) + "\n")
    return path


async def put(service: Service, *items: dict[str, object]) -> None:
    response = await service.http.put("/items", json={"items": items})
    assert response.status_code == 200, response.text


async def list_all(service: Service, item_id: str) -> list[str]:
    answer = await service.recommend(history=[item_id], k=40, include=["categories"])
    assert all(item["categories"] == [] for item in answer["items"]), "a brand is no category"
    return [item["item_id"] for item in answer["items"]]


async def test_new_item_with_nothing_but_a_brand_is_placed_by_the_items_of_that_brand(
    settings: Settings,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with run_service(settings) as service:
        for brand, item_ids in BRANDS.items():
            for number, item_id in enumerate(item_ids):
                attributes = {"brand": brand, "sku": f"sku {item_id}", "stock": number}
                await put(service, {"item_id": item_id, "attributes": attributes})
    monkeypatch.setenv("NEXTUP_REDIS_URL", redis_url)
    out = tmp_path / "model"
    command = ["train", str(write_log(tmp_path / "log.csv")), "--items", "live", "--attributes", "brand,sku"]
    command += ["--preset", "sasrec", "--out", str(out), *SMALL]
    assert await asyncio.to_thread(main, command) == 0
    captured = capsys.readouterr()
    assert "attributes: brand (2 values); without values that some of the items share: sku" in captured.err
    assert json.loads(captured.out.splitlines()[-1])["items"] == 30
    assert open_catalogue(out).attributes.names == {"brand"}

    await asyncio.to_thread(clear_live_catalogue, redis_url)  # from here on, brands are in the artifact only
    async with run_service(settings.with_changes(artifact=out)) as service:
        await put(
            service,
            {"item_id": "lamp", "attributes": {"brand": "Argent"}},
            {"item_id": "unlike", "attributes": {"brand": "Third", "stock": 3}},
        )
        async with asyncio.timeout(60):
            while "lamp" not in await list_all(service, "i20"):  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.05)
        assert "unlike" not in await list_all(service, "i20")
        after = [name for name in await list_all(service, "lamp") if name in BRANDS["Lumen"]]
        same = [
            item_id
            for item_ids in BRANDS.values()
            for item_id in item_ids
            if [name for name in await list_all(service, item_id) if name in {*BRANDS["Lumen"]} - {item_id}] == after
        ]
        assert same, "in a history it is read as a trained item"
        assert set(same) <= {*BRANDS["Argent"]}, "one of its brand"
