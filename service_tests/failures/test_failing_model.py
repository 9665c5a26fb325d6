"""A model that raises is answered with popular items, by either path; errors of the request keep their status."""

from typing import Any

import pytest

from app.inference.servable import Servable
from service_tests.support.model_placements import model_process as model_process
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [{"history": ["i1"], "k": 3}, {"history": [1, "i1"], "k": 3}])
async def test_failing_model_is_answered_with_popular_items(
    body: dict[str, Any], service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of the ordinary")

    expected = [item["item_id"] for item in (await service.recommend(user_id="unheard", k=4))["items"]]
    monkeypatch.setattr(Servable, "run_batch", fail)
    answer = await service.recommend(**body)
    assert (answer["served_by"], answer["reason"]) == ("popularity", "model_unavailable")
    assert [item["item_id"] for item in answer["items"]] == [item for item in expected if item != "i1"][:3]
    assert "out of the ordinary" in caplog.text
    response = await service.http.post("/recommend", json=body, headers={"X-Request-Deadline-Ms": "10000"})
    assert response.status_code == 200
    response = await service.http.post("/recommend", json={**body, "k": 1000})
    assert response.status_code == 422
