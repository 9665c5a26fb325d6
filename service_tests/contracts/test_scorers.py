"""Contract of exact scorers: the same top k as `plain` for every filter, k and tie."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.build import build_model
from models.config import ModelConfig, Part
from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.selection import EXACT_SCORERS

DIM = 16
SCORERS: Mapping[str, type[Scorer]] = {kind.name: kind for kind in EXACT_SCORERS}
FORMS = [  # scorer, embedding and its options, head
    ("blocked", Part("full"), "tied"),
    ("blocked", Part("full"), "dense"),
    ("int8", Part("full"), "tied"),
    ("int8", Part("full"), "dense"),
    ("int8", Part("blocks"), "tied"),
    ("int8", Part("blocks", {"factors": "trained", "ranks": [0.75, 0.5]}), "tied"),
    ("int8", Part("compositional"), "tied"),
    ("int8", Part("compositional", {"assignment": "trained", "tables": 3}), "tied"),
    ("int8", Part("codes"), "tied"),
    ("codes", Part("codes"), "tied"),
    ("codes", Part("codes", {"codebook": 200, "splits": 2}), "tied"),
    ("codes", Part("codes", {"levels": 16}), "tied"),
    ("native codes", Part("codes"), "tied"),
    ("native codes", Part("codes", {"codebook": 200, "splits": 2}), "tied"),
    ("native codes", Part("codes", {"levels": 16}), "tied"),
    ("native blocks", Part("codes"), "tied"),
    ("native blocks", Part("codes", {"codebook": 40, "splits": 4}), "tied"),
    ("native blocks", Part("codes", {"codebook": 128}), "tied"),
    ("native blocks", Part("codes", {"levels": 16}), "tied"),
    ("native blocks", Part("codes", {"levels": 8}), "tied"),
    ("native blocks", Part("codes", {"codebook": 256, "splits": 2}), "tied"),
    ("tree", Part("full"), "adaptive"),
]
INTEGER_FORMS = [form for form in FORMS if form[0] != "tree" and form[1].name != "compositional"]  # no softmax


def format_form(form: tuple[str, Part, str]) -> str:
    return "-".join((form[0], form[1].name, *map(str, form[1].options.values()), form[2]))


def make_model(embedding: Part, head: str, num_items: int, seed: int, *, whole: bool) -> SequentialRecommender:
    """`whole`: weights are small integers, whose sums are exact in any order, so that ties are exact."""
    model = build_model(ModelConfig(embedding, Part("none"), Part(head), dim=DIM, max_len=5, dropout=0.0), num_items)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.state_dict(keep_vars=True).items():
            if weights.is_floating_point():
                weights.normal_(generator=generator)
                if whole:
                    weights.round_().clamp_(-2, 2)
                elif name.endswith(".scales"):  # of rows of 8 bits: scores in the thousands would exceed the tolerance
                    weights /= 127
        if isinstance(codes_embedding := model.embedding, CodesEmbedding):
            codes = torch.randint(
                codes_embedding.codebook_size, (num_items + 1, codes_embedding.num_subspaces), generator=generator
            )
            codes_embedding.kept.copy_(packing.pack(codes) if codes_embedding.is_packed else codes)
    return model.eval()


def make_queries(rows: int, seed: int, *, whole: bool) -> torch.Tensor:
    hidden = torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed + 1))
    return hidden.round() if whole else hidden


def make_filter(num_items: int, rows: int, seed: int, share_excluded: float, share_allowed: float | None) -> ItemFilter:
    """Every second row has an allow mask, unless `share_allowed` is None."""
    rng = np.random.default_rng(seed)
    excluded = [
        rng.integers(1, num_items + 1, rng.integers(0, int(share_excluded * num_items) + 2)) for _ in range(rows)
    ]
    if share_allowed is None:
        return ItemFilter(num_items, excluded)
    masks = [rng.random(num_items + 1) < share_allowed if row % 2 == 0 else None for row in range(rows)]
    return ItemFilter(num_items, excluded, masks)


def run_with_plain(form: tuple[str, Part, str], model: SequentialRecommender, *query: object) -> tuple[TopK, TopK]:
    scorer = SCORERS[form[0]].for_model(model)
    if scorer is None:
        pytest.skip(f"{form[0]} does not run on this machine")
    with torch.inference_mode():
        return scorer.find_top_k(*query), PlainScorer.for_model(model).find_top_k(*query)  # type: ignore[arg-type]


def assert_same(actual: TopK, expected: TopK) -> None:
    """Compare up to float32 rounding: items may swap ranks only if their scores are nearly equal."""
    assert actual.indices.shape == expected.indices.shape
    torch.testing.assert_close(actual.values, expected.values, rtol=1e-5, atol=1e-4)
    moved = actual.indices != expected.indices
    gaps = torch.diff(expected.values, append=expected.values[:, -1:] - 1).abs().nan_to_num(1.0)
    near = (gaps < 1e-4) | (gaps.roll(1, dims=1) < 1e-4)
    last = expected.values <= expected.values[:, -1:] + 1e-4  # the item at rank k + 1 may be near too
    assert not (moved & ~near & ~last).any()


sizes = st.integers(3, 300) | st.integers(4_000, 12_000)
shares = {"share_excluded": st.sampled_from([0.0, 0.05, 0.9]), "share_allowed": st.sampled_from([None, 0.002, 0.5])}


@pytest.mark.parametrize("form", FORMS, ids=format_form)
@settings(deadline=None, max_examples=12)
@given(num_items=sizes, rows=st.integers(1, 9), k=st.integers(1, 60), seed=st.integers(0, 99), **shares)
def test_exact_scorer_returns_the_top_k_of_plain(
    form: tuple[str, Part, str],
    num_items: int,
    rows: int,
    k: int,
    seed: int,
    share_excluded: float,
    share_allowed: float | None,
) -> None:
    model = make_model(form[1], form[2], num_items, seed, whole=False)
    item_filter = make_filter(num_items, rows, seed, share_excluded, share_allowed)
    actual, expected = run_with_plain(
        form, model, make_queries(rows, seed, whole=False), min(k, num_items), item_filter
    )
    assert_same(actual, expected)


@pytest.mark.parametrize("form", INTEGER_FORMS, ids=format_form)
@settings(deadline=None, max_examples=12)
@given(num_items=sizes, rows=st.integers(1, 9), k=st.integers(1, 60), seed=st.integers(0, 99), **shares)
def test_ties_are_in_catalogue_order(
    form: tuple[str, Part, str],
    num_items: int,
    rows: int,
    k: int,
    seed: int,
    share_excluded: float,
    share_allowed: float | None,
) -> None:
    model = make_model(form[1], form[2], num_items, seed, whole=True)
    item_filter = make_filter(num_items, rows, seed, share_excluded, share_allowed)
    actual, expected = run_with_plain(form, model, make_queries(rows, seed, whole=True), min(k, num_items), item_filter)
    assert torch.equal(actual.values, expected.values)
    assert torch.equal(actual.indices, expected.indices)


@pytest.mark.parametrize("form", FORMS, ids=format_form)
def test_fewer_than_k_eligible_items_end_in_padding(form: tuple[str, Part, str]) -> None:
    num_items = 9_000
    model = make_model(form[1], form[2], num_items, 0, whole=False)
    mask = np.zeros(num_items + 1, dtype=bool)
    mask[[0, 7, 4_000, 8_999]] = True
    item_filter = ItemFilter(num_items, [np.array([4_000]), np.arange(3, num_items + 1)], [mask, None])
    actual, _ = run_with_plain(form, model, make_queries(2, 0, whole=False), 4, item_filter)
    assert sorted(actual.indices[0].tolist()) == [0, 0, 7, 8_999]
    assert sorted(actual.indices[1].tolist()) == [0, 0, 1, 2]
    assert actual.values.isneginf().sum(-1).tolist() == [2, 2]
    assert not actual.indices[:, 2:].any()
