"""Metrics compared with RecTools, an independent implementation.

RecTools needs numpy 1, so it is installed in another environment: `pip install rectools` there, and the packages of
this one behind its own.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.splits import Cases
from models.evaluation.diversity import compute_diversity
from models.evaluation.evaluate import CUTOFFS, compute_metrics
from models.evaluation.metrics import rank_targets

pytestmark = [pytest.mark.optional, pytest.mark.process]

NUM_USERS, NUM_ITEMS, TOP = 200, 120, 20


@pytest.fixture
def log() -> tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Histories without repeats, their counts in catalogue order, targets, and rankings of unseen items."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, NUM_ITEMS + 1)
    drawn_items = [
        rng.choice(NUM_ITEMS, rng.integers(3, 40), replace=False, p=chances / chances.sum()) for _ in range(NUM_USERS)
    ]
    counts = np.bincount(np.concatenate(drawn_items), minlength=NUM_ITEMS)
    order = np.argsort(-counts, kind="stable")
    index_of = np.empty(NUM_ITEMS, dtype=np.int64)
    index_of[order] = np.arange(1, NUM_ITEMS + 1)
    histories = [index_of[items] for items in drawn_items]
    unseen = [rng.permutation(np.setdiff1d(np.arange(1, NUM_ITEMS + 1), history)) for history in histories]
    recommended = np.stack([items[:TOP] for items in unseen])
    targets = np.array([items[rng.integers(0, 30)] for items in unseen])
    return histories, counts[order], targets, recommended


def test_metrics_equal_those_of_rectools(
    log: tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    names = pytest.importorskip("rectools").Columns
    metrics = pytest.importorskip("rectools.metrics")
    pd = pytest.importorskip("pandas")
    histories, counts, targets, recommended = log
    users = np.arange(NUM_USERS)
    rankings = pd.DataFrame(
        {
            names.User: np.repeat(users, TOP),
            names.Item: recommended.ravel(),
            names.Rank: np.tile(np.arange(1, TOP + 1), NUM_USERS),
        }
    )
    training = pd.DataFrame(
        {
            names.User: np.repeat(users, [len(history) for history in histories]),
            names.Item: np.concatenate(histories),
        }
    )
    expected = metrics.calc_metrics(
        {
            **{f"hr@{k}": metrics.HitRate(k) for k in CUTOFFS},
            **{f"ndcg@{k}": metrics.NDCG(k, divide_by_achievable=True) for k in CUTOFFS},
            **{f"mrr@{k}": metrics.MRR(k) for k in CUTOFFS},
            "coverage@10": metrics.CatalogCoverage(10, normalize=True),
            "popularity@10": metrics.AvgRecPopularity(10),
            "novelty@10": metrics.MeanInvUserFreq(10),
        },
        reco=rankings,
        interactions=pd.DataFrame({names.User: users, names.Item: targets}),
        prev_interactions=training,
        catalog=np.arange(1, NUM_ITEMS + 1),
    )
    values = compute_metrics(rank_targets(recommended, targets), recommended, NUM_ITEMS)
    diversity = compute_diversity(recommended, Cases(users, histories, targets), counts)
    # RecTools takes the share of users, and we the share of events: without repeats a constant apart.
    expected["novelty@10"] += np.log2(counts.sum() / NUM_USERS)
    assert 0 < values["hr@5"] < values["hr@20"] < 1
    computed = values | diversity
    assert {name: computed[name] for name in expected} == pytest.approx(expected)
