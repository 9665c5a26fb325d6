"""GET /items/{id} and GET /models of the serving version."""

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def test_item_has_title_categories_and_popularity(service: Service) -> None:
    answer = (await service.http.get("/items/i2")).json()
    expected = {"item_id": "i2", "title": "Item number 2", "categories": ["even", "low"], "rank": 2, "count": 500}
    not_live = {"available": True, "attributes": {}, "url": None, "image_url": None}
    assert answer == expected | not_live


async def test_item_outside_the_catalogue_is_not_found(service: Service) -> None:
    response = await service.http.get("/items/unheard")
    assert response.status_code == 404
    assert "unheard" in response.json()["detail"]


async def test_serving_version_is_listed(service: Service) -> None:
    (version,) = (await service.http.get("/models")).json()["models"]
    assert version["version"] == (await service.recommend(history=["i1"]))["model_version"]
    assert (version["preset"], version["active"], version["device"], version["num_items"]) == (
        "sasrec",
        True,
        "cpu",
        60,
    )
    assert version["scoring"]["small"] == {"name": "plain", "exact": True, "bytes": 0}
