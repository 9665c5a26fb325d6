"""Checks of answers under benchmark: recall against exact search, and agreement between servers.

The service is queried over HTTP while it runs; the reference model may be loaded afterwards, so that a large catalogue
is in memory only once.
"""

import http.client
import json
import time
from collections.abc import Mapping, Sequence

import numpy as np

from app.bench.serve.rounds import Target
from models.artifact import Artifact
from models.batch import Times
from models.catalogue.item_key import ItemKeys
from models.predictor import Predictor

TIMEOUT_S = 60.0
K = 10

Answers = Mapping[str, Sequence[str]]


def fetch_answers(target: Target, users: Sequence[str], k: int) -> dict[str, list[str]]:
    """Fetch the items of each user, best first; users that the model did not serve are omitted."""
    answers = {}
    connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
    headers = {"content-type": "application/json", "x-request-deadline-ms": str(int(TIMEOUT_S * 1000))}
    try:
        for user in dict.fromkeys(users):
            connection.request("POST", target.path, json.dumps({"user_id": user, "k": k}), headers)
            response = json.loads(connection.getresponse().read())
            if response.get("served_by") == "model":
                answers[user] = [item["item_id"] for item in response["items"]]
    finally:
        connection.close()
    return answers


def compute_recall(
    artifact: Artifact, answers: Answers, histories: Mapping[str, tuple[ItemKeys, Times]]
) -> float | None:
    """Compute the mean recall of `answers` against exact search; None without answers.

    `histories` are (keys, times) of every user in `answers`, oldest first. The reference runs one history at a time.
    """
    reference = Predictor(artifact.predictor.model, artifact.predictor.torch_device)
    reference.choose_scorers()  # exact ones only: this predictor has no index
    recalls = []
    for user, items in answers.items():
        keys, times = histories[user]
        indices = artifact.catalogue.keys.find_indices(keys)
        history = indices[indices > 0]
        exact = reference.top_k(
            [history],
            len(items),
            times=[times[indices > 0]],
            request_times=np.array([int(time.time())], dtype=np.uint32),  # seconds after the service's: the same class
            excluded=[history],
        )
        exact_items = {artifact.catalogue.item_id(index) for index in exact.indices[0].tolist() if index}
        recalls.append(len(exact_items.intersection(items)) / max(1, len(exact_items)))
    return float(np.mean(recalls)) if recalls else None


def compare_answers(service: Target, peers: Sequence[Target], users: Sequence[str]) -> dict[str, float]:
    """Compute the fraction of the service's items that each peer returns too; below 1 the work differs."""
    expected = fetch_answers(service, users, K) if peers else {}
    total = max(1, sum(map(len, expected.values())))
    return {peer.name: round(_count_shared(expected, fetch_answers(peer, users, K)) / total, 4) for peer in peers}


def _count_shared(expected: Answers, answers: Answers) -> int:
    return sum(len(set(items) & set(answers.get(user, ()))) for user, items in expected.items())
