"""Load from simulated visitors of a shop, who look at products, follow recommendations and sometimes buy.

    pip install locust
    locust --locustfile examples/locustfile.py --host http://127.0.0.1:8000

locust is a closed loop: a visitor waits for an answer before the next request. `nextup bench serve --rate N` offers a
fixed rate instead, and so measures the latency under overload.
"""

import random
from typing import Any
from uuid import uuid4

from locust import HttpUser, between, task

BUY_SHARE = 0.1


class Visitor(HttpUser):  # type: ignore[misc]  # locust is not installed with the tests
    """A visitor with a new id, whose products are those of the answers: of a new user, the popular ones."""

    wait_time = between(0.5, 2.0)

    def on_start(self) -> None:
        self.user_id = uuid4().hex
        self.product: str | None = None
        self.source: dict[str, Any] = {}
        self.follow_recommendation()

    @task  # type: ignore[untyped-decorator]  # for the same reason
    def visit_product(self) -> None:
        """Store a visit, then follow a recommendation."""
        if self.product is not None:
            kind = "buy" if random.random() < BUY_SHARE else "click"  # noqa: S311 - no secret
            event = {"user_id": self.user_id, "item_id": self.product, "type": kind, "event_id": uuid4().hex}
            self.client.post("/events", json={"events": [event | self.source]}, name="POST /events")
        self.follow_recommendation()

    @task  # type: ignore[untyped-decorator]  # for the same reason
    def view_similar(self) -> None:
        """Look at products that are similar to the current one."""
        if self.product is not None:
            self.client.post("/similar", json={"item_id": self.product, "k": 10}, name="POST /similar")

    def follow_recommendation(self) -> None:
        """Ask for recommendations and choose one; without new items, which /similar does not know."""
        request = {"user_id": self.user_id, "k": 10, "cold_items": "exclude"}
        with self.client.post("/recommend", json=request, name="POST /recommend", catch_response=True) as response:
            if response.status_code != 200:
                response.failure(response.text or "no answer")
                return
            answer = response.json()
            if not answer["items"]:
                response.failure("no items")
                return
            position = random.randint(1, len(answer["items"]))  # noqa: S311 - no secret
            self.product = answer["items"][position - 1]["item_id"]
            self.source = {"recommendation_id": answer["recommendation_id"], "position": position}
