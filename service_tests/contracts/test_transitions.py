"""Contract of the transition memory: the same exact answer after every scorer, for every filter, k and tie."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.batch import History
from models.config import Part
from models.native.library import load_library
from models.predictor import Predictor
from models.recommender import SequentialRecommender
from models.scorers.base import TopK
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.transition_ranking import TransitionRanking
from models.transitions.memory import LOOKBACK, NEVER, TransitionMemory
from models.transitions.mixing import TransitionMixer
from service_tests.contracts.test_scorers import (
    DIM,
    FORMS,
    SCORERS,
    assert_same,
    format_form,
    make_filter,
    make_model,
    make_queries,
    shares,
    sizes,
)

POPULARITY = ("plain", Part("full"), "popularity")
ALL_FORMS = [("plain", Part("full"), "adaptive"), POPULARITY, *FORMS]


def make_memory(num_items: int, seed: int, num_followers: int = 6) -> TransitionMemory:
    """Memory with random followers, some items without any, and random weights of the mixture."""
    rng = np.random.default_rng(seed)
    memory = TransitionMemory(num_items, DIM, num_followers)
    followers = np.zeros((num_items + 1, num_followers), dtype=np.int64)
    for item in range(1, num_items + 1):
        count = int(rng.integers(0, min(num_followers, num_items) + 1))
        followers[item, :count] = rng.choice(min(num_items, 40), min(count, num_items), replace=False) + 1
    probabilities = -np.sort(-rng.random(followers.shape), axis=1) / num_followers
    memory.store(
        followers, np.where(followers > 0, probabilities, 0), rng.integers(0, 500, num_items + 1).astype(float)
    )
    generator = torch.Generator().manual_seed(seed)
    if seed % 3 == 1:  # as in artifacts of the earlier layout
        memory.normalizer_in, memory.normalizer_out = torch.empty(7, DIM + 1), torch.empty(2, 8)
    for weights in (memory.gate, memory.normalizer_in, memory.normalizer_out):
        weights.normal_(std=0.3, generator=generator)
    if seed % 2:
        memory.gate[1, :LOOKBACK] = NEVER
    memory.gate[0, LOOKBACK - 1] = NEVER
    memory.scale.fill_(0.5 + seed % 3 / 2)
    memory.damping.fill_(seed % 5 / 4)
    return memory


def add_memory(model: SequentialRecommender, seed: int) -> TransitionMemory:
    model.transitions = make_memory(model.embedding.num_items, seed)
    model.config = dataclasses.replace(model.config, transitions=model.transitions.num_followers)
    return model.transitions


def make_histories(num_items: int, rows: int, seed: int) -> list[History]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, min(num_items, 30) + 1, rng.integers(1, 12)) for _ in range(rows)]


def compute_reference(
    model: SequentialRecommender, memory: TransitionMemory, histories: list[History], hidden: torch.Tensor
) -> NDArray[np.float64]:
    """(B, num_items + 1) scores of the mixture, item by item."""
    mixer = TransitionMixer(memory)
    followers = mixer.find_followers(histories, hidden.numpy())
    gate = memory.gate.double().numpy()
    scores = model.scores(hidden).double().numpy().copy()
    for row, history in enumerate(histories):
        added: dict[int, float] = {}
        for distance in range(min(LOOKBACK, len(history))):
            exponents = gate[:, distance] + gate[:, LOOKBACK:] @ followers.features[row, distance]
            weight, repeat_weight = np.where(exponents < -12, 0, np.exp(exponents))
            pairs = zip(followers.items[row, distance], followers.probabilities[row, distance], strict=True)
            for item, mass in [(item, weight * probability) for item, probability in list(pairs)[:-1]] + [
                (int(history[-1 - distance]), repeat_weight)
            ]:
                if item and mass:
                    added[item] = added.get(item, 0.0) + float(mass)
        for item, mass in added.items():
            bonus = np.log(mass) + followers.log_normalizers[row]
            scale, score = memory.scale.item(), scores[row, item]
            is_count = model.head.scores_are_counts
            damped = bonus - memory.damping.item() * scale * score
            scores[row, item] = score + np.exp(bonus) if is_count else score + np.logaddexp(0, damped) / scale
    return scores


def select_reference_top_k(scores: NDArray[np.float64], k: int, item_filter: ItemFilter) -> TopK:
    masked = torch.from_numpy(scores.astype(np.float32))
    item_filter.mask(masked)
    values, indices = masked.sort(dim=-1, descending=True, stable=True)
    return TopK(indices[:, :k].masked_fill(values[:, :k].isneginf(), 0), values[:, :k])


@pytest.mark.parametrize("form", ALL_FORMS, ids=format_form)
@settings(deadline=None, max_examples=8)
@given(num_items=sizes, rows=st.integers(1, 9), k=st.integers(1, 60), seed=st.integers(0, 99), **shares)
def test_memory_gives_the_best_of_the_mixture_after_every_scorer(
    form: tuple[str, Part, str],
    num_items: int,
    rows: int,
    k: int,
    seed: int,
    share_excluded: float,
    share_allowed: float | None,
) -> None:
    model = make_model(form[1], form[2], num_items, seed, whole=False)
    memory = add_memory(model, seed)
    scorer = SCORERS[form[0]].for_model(model)
    if scorer is None:
        pytest.skip(f"{form[0]} does not run on this machine")
    histories, hidden = make_histories(num_items, rows, seed), make_queries(rows, seed, whole=False)
    item_filter = make_filter(num_items, rows, seed, share_excluded, share_allowed)
    k = min(k, num_items)
    with torch.inference_mode():
        top = scorer.find_top_k(hidden, k, item_filter)
        ranking = TransitionRanking(model, memory)
        actual = ranking.rerank(top, histories, hidden, item_filter)
        expected = select_reference_top_k(compute_reference(model, memory, histories, hidden), k, item_filter)
        assert_same(actual, expected)
        if ranking.use_native():
            assert_same(ranking.rerank(top, histories, hidden, item_filter), expected)


@pytest.mark.parametrize(
    "embedding",
    [Part("full"), Part("codes"), Part("codes", {"codebook": 200, "splits": 2}), Part("codes", {"levels": 16})],
)
def test_native_code_reranks_where_the_library_is_built(embedding: Part) -> None:
    model = make_model(embedding, "tied", 300, 0, whole=False)
    ranking = TransitionRanking(model, add_memory(model, 0))
    assert ranking.use_native() == (load_library() is not None)


@settings(deadline=None, max_examples=40)
@given(num_items=st.integers(3, 60), k=st.integers(1, 60), seed=st.integers(0, 999), **shares)
def test_ties_of_the_mixture_are_in_catalogue_order(
    num_items: int, k: int, seed: int, share_excluded: float, share_allowed: float | None
) -> None:
    model = make_model(*POPULARITY[1:], num_items, seed, whole=True)
    model.head.get_buffer("counts").abs_().add_(1)
    memory = add_memory(model, seed)
    memory.rows[:, memory.num_followers * memory.index_bytes :].clamp_(max=200)  # small bonuses round away
    memory.normalizer_out.zero_()
    memory.normalizer_out[0, -1] = -60
    histories, hidden = make_histories(num_items, 3, seed), make_queries(3, seed, whole=True)
    item_filter = make_filter(num_items, 3, seed, share_excluded, share_allowed)
    k = min(k, num_items)
    with torch.inference_mode():
        expected = PlainScorer.for_model(model).find_top_k(hidden, k, item_filter)
        actual = TransitionRanking(model, memory).rerank(expected, histories, hidden, item_filter)
    assert torch.equal(actual.values, expected.values)
    assert torch.equal(actual.indices, expected.indices)


@pytest.mark.parametrize("head", ["tied", "dense", "adaptive", "popularity"])
def test_filtered_followers_never_appear_and_do_not_shorten_the_answer(head: str) -> None:
    num_items = 50
    model = make_model(Part("full"), head, num_items, 3, whole=False)
    memory = add_memory(model, 3)
    memory.normalizer_out[0, -1] = 50.0  # every candidate ranks above all other items
    predictor = Predictor(model, torch.device("cpu"))
    history = np.array([4, 9, 2])
    hidden = predictor.runner.encode([history]).hidden.numpy()
    items = TransitionMixer(memory).find_followers([history], hidden).items[..., :-1]  # repeats are off
    followers = np.unique(items[items > 0])
    assert set(predictor.top_k([history], len(followers)).indices[0]) == set(followers)
    mask = np.ones(num_items + 1, dtype=bool)
    mask[followers[::2]] = False
    excluded = followers[1::2]
    top = predictor.top_k([history], num_items, excluded=[excluded], allow_masks=[mask])
    answer = top.indices[0][top.indices[0] > 0]
    assert sorted(answer.tolist()) == sorted(set(range(1, num_items + 1)) - set(followers.tolist()))
    assert np.isneginf(top.scores[0, len(answer) :]).all()


@pytest.mark.parametrize("repeats", [True, False])
def test_newest_items_are_candidates_only_where_repeats_have_a_weight(repeats: bool) -> None:
    model = make_model(Part("codes"), "tied", 300, 2, whole=False)
    memory = add_memory(model, 2)
    memory.gate[:, :LOOKBACK] = NEVER
    if repeats:
        memory.gate[1, 1] = 8.0
    memory.gate[:, LOOKBACK:] = 0
    memory.normalizer_out[0, -1] = 50.0
    histories = [np.array([7, 250, 9]), np.array([4])]
    predictor = Predictor(model, torch.device("cpu"))
    model.transitions = None
    before = Predictor(model, torch.device("cpu")).top_k(histories, 5)
    for _ in range(2):
        top = predictor.top_k(histories, 5)
        assert (top.indices[0, 0] == 250) == repeats
        assert np.array_equal(top.indices[1], before.indices[1])  # no second newest item
        predictor.choose_scorers()


def test_scores_do_not_depend_on_the_rest_of_the_batch() -> None:
    model = make_model(Part("full"), "tied", 300, 5, whole=False)
    add_memory(model, 5)
    predictor = Predictor(model, torch.device("cpu"))
    histories = make_histories(300, 20, 5)
    together = predictor.top_k(histories, 10, excluded=histories)
    for row, history in enumerate(histories):
        alone = predictor.top_k([history], 10, excluded=[history])
        assert np.array_equal(alone.indices[0], together.indices[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], rtol=1e-5, atol=1e-5)
