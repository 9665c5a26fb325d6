"""What runs inside TorchServe: a batch of requests, their histories by one read of Redis, one run of the predictor.

It runs in TorchServe's own Python, which finds this project on its path. Where artifact and Redis are is in the
environment. It knows nothing of HTTP: TorchServe hands over bodies and takes answers.
"""

import json
import os
from pathlib import Path
from typing import Any

from redis import Redis

from app.inference import Query, TopItems
from app.inference.servable import open_servable
from app.stores.keys import build_items_key
from app.stores.results import decode_history

ARTIFACT, REDIS, BATCH = "NEXTUP_PEER_ARTIFACT", "NEXTUP_PEER_REDIS", "NEXTUP_PEER_BATCH"
NATIVE = "NEXTUP_PEER_NATIVE"


class Handler:
    def initialize(self, context: Any) -> None:
        del context  # all it says is where the archive was unpacked
        batch = int(os.environ[BATCH])
        native = os.environ.get(NATIVE) == "1"
        self.servable = open_servable(
            Path(os.environ[ARTIFACT]), device="cpu", threads=1, max_batch=batch, native=native
        )
        self.redis = Redis.from_url(os.environ[REDIS])

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """One answer per request, in their order."""
        del context
        bodies = [_body(row) for row in data]
        values: Any = self.redis.mget([build_items_key(body["user_id"]) for body in bodies])
        histories = [decode_history(value) for value in values]
        queries = [
            Query(history.item_keys, body.get("k", 10), times=history.times)
            for body, history in zip(bodies, histories, strict=True)
        ]
        return [self._answer(top) for top in self.servable.run_batch(queries)]

    def _answer(self, top: TopItems | Exception) -> dict[str, Any]:
        if not isinstance(top, TopItems):
            raise top
        items = [{"item_id": i, "score": s} for i, s in zip(top.item_ids, top.scores, strict=True)]
        return {"items": items, "served_by": top.source, "model_version": self.servable.version}


def _body(row: dict[str, Any]) -> dict[str, Any]:
    """A body is parsed already, or still bytes, by the content type of the request."""
    found = row.get("body") or row.get("data")
    parsed: Any = json.loads(found) if isinstance(found, str | bytes | bytearray) else found
    return dict(parsed)
