"""The TorchServe handler: per batch of requests, one Redis read of their histories and one predictor run.

It runs in TorchServe's Python environment with this project on its path; environment variables locate artifact and
Redis. TorchServe passes request bodies and returns responses over HTTP.
"""

import json
import os
import time
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
        del context  # contains only the location of the unpacked archive
        batch = int(os.environ[BATCH])
        native = os.environ.get(NATIVE) == "1"
        self.servable = open_servable(
            Path(os.environ[ARTIFACT]), device="cpu", threads=1, max_batch=batch, native=native
        )
        self.redis = Redis.from_url(os.environ[REDIS])

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Return one response per request, in order."""
        del context
        bodies = [_parse_body(row) for row in data]
        values: Any = self.redis.mget([build_items_key(body["user_id"]) for body in bodies])
        histories = [decode_history(value) for value in values]
        queries = [
            Query(history.item_keys, body.get("k", 10), times=history.times, request_time=int(time.time()))
            for body, history in zip(bodies, histories, strict=True)
        ]
        return [self._build_response(top) for top in self.servable.run_batch(queries)]

    def _build_response(self, top: TopItems | Exception) -> dict[str, Any]:
        if not isinstance(top, TopItems):
            raise top
        items = [{"item_id": i, "score": s} for i, s in zip(top.item_ids, top.scores, strict=True)]
        return {"items": items, "served_by": top.source, "model_version": self.servable.version}


def _parse_body(row: dict[str, Any]) -> dict[str, Any]:
    """Parse a body; depending on the content type TorchServe has parsed it already."""
    body = row.get("body") or row.get("data")
    parsed: Any = json.loads(body) if isinstance(body, str | bytes | bytearray) else body
    return dict(parsed)
