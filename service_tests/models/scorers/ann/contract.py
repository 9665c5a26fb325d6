"""Contract of ANN scorers, run for each kind of index by a subclass in its test module.

The module of a subclass defines a fixture `case`.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.ann.indexes import Index, load_index, make_approximate_scorer
from models.scorers.base import ApproximateScorer, Scorer, TopK
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import make_filter


class ForbiddenScorer(ApproximateScorer):
    """Fails on every call."""

    name = "forbidden"

    def find_top_k(self, hidden: torch.Tensor, k: int, item_filter: ItemFilter) -> TopK:
        raise AssertionError(f"{len(hidden)} histories went to the exact scorer")


@dataclass(frozen=True)
class AnnCase:
    """A model, queries like those that its index was calibrated on, and that index."""

    model: SequentialRecommender
    queries: Tensor
    index: Index

    @property
    def num_items(self) -> int:
        return self.model.embedding.num_items

    @property
    def plain(self) -> Scorer:
        return PlainScorer(self.model)

    def open_scorer(self, nprobe: int | None = None, fallback: Scorer | None = None) -> Scorer:
        """Open the index, with another nprobe than the calibrated one, or another exact scorer, if given."""
        index = dataclasses.replace(self.index, nprobe=self.index.nprobe if nprobe is None else nprobe)
        scorer = make_approximate_scorer(self.model, index, fallback or self.plain)
        assert scorer is not None
        return scorer


def compute_recall(expected: Tensor, retrieved: Tensor) -> float:
    return float((expected[:, :, None] == retrieved[:, None, :]).any(-1).float().mean())


class AnnScorerContract:
    """Tests that every ANN scorer must pass."""

    rtol, atol = 1e-5, 1e-4
    """Of scores, compared with those of the model."""

    def test_recall_is_as_reported_and_reaches_the_target(self, case: AnnCase) -> None:
        no_filter = ItemFilter(case.num_items)
        scorer = case.open_scorer()
        retrieved = scorer.find_top_k(case.queries, 10, no_filter).indices
        expected = case.plain.find_top_k(case.queries, 10, no_filter).indices
        recall = compute_recall(expected, retrieved)
        assert recall == pytest.approx(case.index.recall, abs=1e-5)
        assert recall >= 0.99
        info = case.index.to_dict()
        assert case.index.nprobe <= int(info["lists"]) // 4
        description = scorer.describe()
        expected_description = (False, case.index.recall, case.index.nprobe)
        assert (description["exact"], description["recall@10"], description["probes"]) == expected_description

    @pytest.mark.parametrize(
        ("share_excluded", "share_allowed"), [(0.0, None), (0.02, None), (0.5, None), (0.9, None), (0.0, 0.01)]
    )
    def test_k_eligible_items_have_exact_scores(
        self, case: AnnCase, share_excluded: float, share_allowed: float | None
    ) -> None:
        queries = case.queries[:40]
        item_filter = make_filter(case.num_items, len(queries), 1, share_excluded, share_allowed)
        top = case.open_scorer().find_top_k(queries, 10, item_filter)
        scores = case.model.scores(queries)
        torch.testing.assert_close(top.values, scores.gather(1, top.indices), rtol=self.rtol, atol=self.atol)
        item_filter.mask(scores)
        assert torch.isfinite(scores.gather(1, top.indices)).all()
        assert (top.values.diff(dim=1) <= 0).all()
        assert all(len(set(row)) == 10 for row in top.indices.tolist())

    def test_allow_mask_and_too_few_items_in_lists_are_answered_exactly(self, case: AnnCase) -> None:
        one_list = case.open_scorer(nprobe=1)
        queries = case.queries[:8]
        mask = np.zeros(case.num_items + 1, dtype=bool)
        mask[40:60] = True
        item_filter = ItemFilter(case.num_items, None, [mask if row == 3 else None for row in range(8)])
        expected = case.plain.find_top_k(queries, 10, item_filter)
        assert torch.equal(one_list.find_top_k(queries, 10, item_filter).indices[3], expected.indices[3])
        no_filter = ItemFilter(case.num_items)
        many = one_list.find_top_k(queries, 1_000, no_filter)
        assert torch.equal(many.indices, case.plain.find_top_k(queries, 1_000, no_filter).indices)

    def test_mask_that_allows_most_items_is_served_by_the_index(self, case: AnnCase) -> None:
        """Unavailable items are masks that all histories share; an exact scan for each would be slow."""
        mask = np.random.default_rng(2).random(case.num_items + 1) < 0.8
        queries = case.queries[:40]
        item_filter = ItemFilter(case.num_items, None, [mask] * len(queries))
        top = case.open_scorer(fallback=ForbiddenScorer()).find_top_k(queries, 10, item_filter)
        assert mask[top.indices.numpy()].all()
        expected = case.plain.find_top_k(queries, 10, item_filter)
        assert compute_recall(expected.indices, top.indices) >= case.index.recall - 0.03

    def test_loaded_index_is_mapped_and_returns_the_same_items(self, case: AnnCase, tmp_path: Path) -> None:
        case.index.save(tmp_path / "index")
        index = load_index(tmp_path / "index", case.index.to_dict())
        assert index is not None
        maps = Path("/proc/self/maps")
        assert not maps.exists() or str(tmp_path / "index") in maps.read_text(), "its lists stay in the file"
        item_filter = ItemFilter(case.num_items, [np.array([3, 5])] * len(case.queries))
        original, loaded = (
            each.open_scorer().find_top_k(case.queries, 10, item_filter)
            for each in (case, dataclasses.replace(case, index=index))
        )
        assert torch.equal(original.indices, loaded.indices)
        assert torch.equal(original.values, loaded.values)
