"""How many of the items that the service answered are those of an exact search: the reference, one history at a time.

The service is asked over HTTP while it runs; the reference may be loaded afterwards, so that large catalogues lie in
memory once. It knows the reference predictor and no store.
"""

import http.client
import json
from collections.abc import Mapping, Sequence

import numpy as np

from app.bench.serve.rounds import Target
from app.item_key import ItemKeys
from models.artifact import Artifact
from models.batch import Times
from models.predictor import Predictor

PATIENCE_S = 60.0


def fetch_answers(target: Target, users: Sequence[str], k: int) -> dict[str, list[str]]:
    """The items of each user, best first; a user who was not answered by the model is left out."""
    found = {}
    connection = http.client.HTTPConnection(target.host, target.port, timeout=PATIENCE_S)
    headers = {"content-type": "application/json", "x-request-deadline-ms": str(int(PATIENCE_S * 1000))}
    try:
        for user in dict.fromkeys(users):
            connection.request("POST", target.path, json.dumps({"user_id": user, "k": k}), headers)
            answer = json.loads(connection.getresponse().read())
            if answer.get("served_by") == "model":
                found[user] = [item["item_id"] for item in answer["items"]]
    finally:
        connection.close()
    return found


def recall(
    artifact: Artifact, answered: Mapping[str, Sequence[str]], histories: Mapping[str, tuple[ItemKeys, Times]]
) -> float | None:
    """Share of the exact best items that were answered, mean over users; None if nobody was.

    `histories` are (keys, times) find_indices every user in `answered`, oldest first.
    """
    reference = Predictor(artifact.predictor.model, artifact.predictor.torch_device)
    reference.choose_scorers()  # of the exact ones; an index is not asked
    shares = []
    for user, items in answered.items():
        keys, times = histories[user]
        indices = artifact.catalogue.keys.find_indices(keys)
        known = indices[indices > 0]
        exact = reference.top_k([known], len(items), times=[times[indices > 0]], excluded=[known])
        best = {artifact.catalogue.item_id(index) for index in exact.indices[0].tolist() if index}
        shares.append(len(best.intersection(items)) / max(1, len(best)))
    return float(np.mean(shares)) if shares else None
