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
FIRST_PRODUCTS = 60


class Visitor(HttpUser):  # type: ignore[misc]  # locust is not installed with the tests
    """A visitor with a new id; the answers name the products that it looks at next."""

    wait_time = between(0.5, 2.0)

    def on_start(self) -> None:
        self.user_id = uuid4().hex
        self.product = f"i{random.randint(1, FIRST_PRODUCTS)}"  # noqa: S311 - no secret
        self.source: dict[str, Any] = {}

    @task  # type: ignore[untyped-decorator]  # for the same reason
    def visit_product(self) -> None:
        """Store a visit, ask for recommendations, and follow one of them."""
        kind = "buy" if random.random() < BUY_SHARE else "click" if self.source else "view"  # noqa: S311 - no secret
        event = {"user_id": self.user_id, "item_id": self.product, "type": kind, "event_id": uuid4().hex}
        self.client.post("/events", json={"events": [event | self.source]}, name="POST /events")
        request = {"user_id": self.user_id, "k": 10}
        with self.client.post("/recommend", json=request, name="POST /recommend", catch_response=True) as response:
            answer = response.json()
            if response.status_code != 200:
                response.failure(answer.get("detail", response.status_code))
            elif not answer["items"]:
                response.failure("no items")
            else:
                position = random.randint(1, len(answer["items"]))  # noqa: S311 - no secret
                self.product = answer["items"][position - 1]["item_id"]
                self.source = {"recommendation_id": answer["recommendation_id"], "position": position}

    @task(1)  # type: ignore[untyped-decorator]  # for the same reason
    def view_similar(self) -> None:
        """Look at products that are similar to the current one."""
        self.client.post("/similar", json={"item_id": self.product, "k": 10}, name="POST /similar")
