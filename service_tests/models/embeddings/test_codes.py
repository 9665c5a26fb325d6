"""Product-quantized embedding: properties of code assignments, quantization, packing and new items."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.batch import History
from models.catalogue.catalogue import Catalogue
from models.embeddings.assignment import ASSIGNMENTS, assign_codes, find_nearest
from models.embeddings.codebooks import ScalarCodebooks
from models.embeddings.codes import CodesEmbedding, vote_codes
from models.embeddings.packing import pack, unpack
from models.transitions.memory import TransitionMemory

ITEMS, USERS, GROUPS = 600, 400, 12


def make_histories() -> list[History]:
    """Make histories in which every user stays in one group of fifty items."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 50, 40) + 50 * (user % GROUPS) + 1 for user in range(USERS)]


def make_catalogue(num_items: int = ITEMS) -> Catalogue:
    names = [f"i{index}" for index in range(num_items)]
    return Catalogue(names, np.full(num_items, 10, dtype=np.int64), [None] * num_items, [()] * num_items)


@pytest.mark.parametrize("name", ASSIGNMENTS)
@pytest.mark.parametrize("num_items", [1, 3, 60, 600])
def test_codes_are_in_bounds_and_reproducible(name: str, num_items: int) -> None:
    log = [np.clip(history, 1, num_items) for history in make_histories()]
    codes = assign_codes(name, num_items, log, 4, 16)
    assert codes.shape == (num_items, 4)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 16
    torch.manual_seed(7)
    assert torch.equal(assign_codes(name, num_items, log, 4, 16), codes)


def test_assignment_does_not_change_the_global_random_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assign_codes("residual_kmeans", ITEMS, make_histories(), 4, 16)
    assert torch.equal(torch.rand(4), expected)


def test_svd_assignment_uses_every_code_about_equally_often() -> None:
    codes = assign_codes("svd", ITEMS, make_histories(), 4, 16)
    for column in codes.T:
        counts = torch.bincount(column, minlength=16)
        assert counts.min() >= ITEMS // 16
        assert counts.max() <= ITEMS // 16 + 1


@pytest.mark.parametrize("name", ["svd", "residual_kmeans"])
def test_items_of_one_group_share_more_codes_than_items_of_different_groups(name: str) -> None:
    codes = assign_codes(name, ITEMS, make_histories(), 8, 16)
    shared = (codes[:, None] == codes[None]).float().mean(-1)
    same_group = (torch.arange(ITEMS)[:, None] // 50) == (torch.arange(ITEMS)[None] // 50)
    assert shared[same_group].mean() > 2 * shared[~same_group].mean()


def test_digit_codes_are_unique() -> None:
    codes = assign_codes("digits", 5_000, [], 4, 64)
    assert len(torch.unique(codes, dim=0)) == 5_000


def test_vector_is_the_concatenation_of_its_sub_embeddings() -> None:
    embedding = CodesEmbedding(ITEMS, 16, splits=4, codebook=32, assignment="svd")
    embedding.fit(make_catalogue(), make_histories())
    codebooks = embedding.pieces.weight.reshape(4, 32, 4)
    codes = embedding.codes()[77].tolist()
    expected = torch.cat([codebooks[subspace, code] for subspace, code in enumerate(codes)])
    assert torch.equal(embedding.table(torch.tensor([77]))[0], expected)


def test_codebook_is_not_larger_than_the_catalogue() -> None:
    assert CodesEmbedding.complete_options(make_catalogue(10), {})["codebook"] == 10
    assert CodesEmbedding.complete_options(make_catalogue(), {"splits": 4}) == {"splits": 4, "codebook": 64}
    assert CodesEmbedding.complete_options(make_catalogue(20_000), {"codebook": 64}) == {"codebook": 64}
    assert CodesEmbedding.complete_options(make_catalogue(), {"codebook": 256}) == {"codebook": 256}
    assert CodesEmbedding.complete_options(make_catalogue(10), {"levels": 16}) == {"levels": 16}


def test_each_feature_of_a_vector_is_one_of_its_levels() -> None:
    embedding = CodesEmbedding(ITEMS, 16, levels=16, assignment="svd")
    embedding.fit(make_catalogue(), make_histories())
    nn.init.normal_(embedding.get_parameter("pieces.levels.weight"))
    levels = embedding.get_parameter("pieces.levels.weight")
    codes = embedding.codes()[77].tolist()
    pairs = [(levels[2 * pair, code // 16], levels[2 * pair + 1, code % 16]) for pair, code in enumerate(codes)]
    expected = torch.stack([level for pair in pairs for level in pair])
    assert torch.equal(embedding.table(torch.tensor([77]))[0], expected)


@pytest.mark.parametrize("levels", [3, 8, 16])
def test_codes_of_levels_split_into_codes_of_features(levels: int) -> None:
    codebooks = ScalarCodebooks(12, levels)
    codes = torch.randint(levels, (50, 12))
    joined = codebooks.join(codes)
    assert joined.shape == (50, 6)
    assert int(joined.max()) < levels**2
    assert torch.equal(codebooks.split(joined), codes)


def test_levels_are_more_exact_than_64_codes_and_learn() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(ITEMS + 1, 16)
    vectors[0] = 0
    by_levels, by_codes = CodesEmbedding(ITEMS, 16, levels=16), CodesEmbedding(ITEMS, 16, codebook=64)
    errors = []
    for embedding in (by_levels, by_codes):
        embedding.approximate(vectors, make_catalogue())
        errors.append((embedding.table() - vectors).pow(2).mean().item())
    assert errors[0] < 0.7 * errors[1]
    (by_levels.table() - vectors).pow(2).sum().backward()
    gradient = by_levels.get_parameter("pieces.levels.weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_refinement_of_levels_brings_scores_closer() -> None:
    torch.manual_seed(0)
    vectors, hidden = torch.randn(ITEMS + 1, 16), torch.randn(500, 4) @ torch.randn(4, 16)
    vectors[0] = 0
    embedding = CodesEmbedding(ITEMS, 16, levels=4)
    embedding.approximate(vectors, make_catalogue())
    before = (embedding.scores(hidden) - hidden @ vectors.T).pow(2).mean()
    embedding.refine(vectors, make_catalogue(), hidden.T @ hidden / len(hidden))
    after = (embedding.scores(hidden) - hidden @ vectors.T).pow(2).mean()
    assert after < 0.9 * before


@given(st.lists(st.lists(st.integers(0, 63), min_size=8, max_size=8), min_size=1, max_size=20))
def test_packing_round_trips(rows: list[list[int]]) -> None:
    codes = torch.tensor(rows)
    packed = pack(codes)
    assert packed.shape == (len(rows), 6)
    assert packed.dtype == torch.uint8
    assert torch.equal(unpack(packed), codes)


def test_quantization_error_is_small_and_falls_with_more_codes() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(ITEMS + 1, 16)
    vectors[0] = 0
    errors = []
    for splits, codebook in ((4, 8), (4, 64), (8, 64)):
        embedding = CodesEmbedding(ITEMS, 16, splits=splits, codebook=codebook)
        embedding.reset_special()
        embedding.approximate(vectors, make_catalogue())
        errors.append((embedding.table() - vectors).pow(2).mean().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_vectors_that_fit_the_codebook_are_exact() -> None:
    embedding = CodesEmbedding(12, 8, splits=2, codebook=12)
    embedding.reset_special()
    vectors = torch.randn(13, 8)
    vectors[0] = 0
    embedding.approximate(vectors, make_catalogue(12))
    torch.testing.assert_close(embedding.table(), vectors)


@given(st.integers(1, 300), st.integers(1, 8), st.integers(1, 256), st.integers(0, 1000))
def test_nearest_centroid_is_the_nearest(num_points: int, width: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points, centroids = (torch.randn(size, width, generator=generator) for size in (num_points, count))
    distances = torch.cdist(points.double(), centroids.double())
    chosen = distances.gather(1, find_nearest(points, centroids)[:, None]).squeeze(1)
    assert (chosen <= distances.amin(1) * 1.001 + 1e-3).all()


def test_popular_items_have_a_smaller_quantization_error() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(ITEMS + 1, 16)
    counts = np.concatenate((np.full(60, 4000), np.full(ITEMS - 60, 1))).astype(np.int64)
    uneven = Catalogue(make_catalogue().item_ids, counts, [None] * ITEMS, [()] * ITEMS)
    embedding = CodesEmbedding(ITEMS, 16, splits=4, codebook=64)
    embedding.approximate(vectors, uneven)
    error = (embedding.table() - vectors)[1:].pow(2).mean(-1)
    assert error[:60].mean() < 0.5 * error[60:].mean()


@pytest.mark.parametrize(("splits", "codebook", "bytes_per_item"), [(8, 256, 8), (32, 64, 24), (8, 64, 6), (2, 64, 2)])
def test_state_is_a_few_bytes_per_item_and_the_codebooks(splits: int, codebook: int, bytes_per_item: int) -> None:
    embedding = CodesEmbedding(ITEMS, 64, splits=splits, codebook=codebook)
    state_bytes = sum(tensor.nbytes for tensor in embedding.state_dict().values())
    assert state_bytes == bytes_per_item * (ITEMS + 1) + 4 * codebook * 64


@pytest.mark.parametrize("num_items", [700, 3_416, 10_999, 11_000, 65_535, 65_536, 1_000_000])
def test_default_is_at_most_a_quarter_of_a_full_table_with_a_transition_memory(num_items: int) -> None:
    options = CodesEmbedding.complete_options(make_catalogue(num_items), {})
    code_bytes, memory_bytes = (
        sum(value.nbytes for value in part.state_dict().values())
        for part in (CodesEmbedding(num_items, 64, **options), TransitionMemory(num_items, 64, 8))
    )
    assert code_bytes + memory_bytes <= 4 * 64 * (num_items + 1) / 4


@pytest.mark.parametrize("num_items", [3_416, 12_101, 1_000_000])
def test_six_bit_codes_are_at_most_an_eighth_of_a_full_table(num_items: int) -> None:
    state_bytes = sum(value.nbytes for value in CodesEmbedding(num_items, 64, codebook=64).state_dict().values())
    assert state_bytes <= 4 * 64 * (num_items + 1) / 8


def test_larger_catalogues_get_larger_codebooks_while_they_fit() -> None:
    sizes = (40, 699, 700, 10_999, 11_000, 65_535, 65_536)
    choices = [CodesEmbedding.complete_options(make_catalogue(size), {}) for size in sizes]
    sixteen, most = {"levels": 16}, {"codebook": 256}
    assert choices == [{"codebook": 40}, {"codebook": 64}, sixteen, sixteen, most, most, {"codebook": 64}]


def test_new_item_gets_the_codes_with_the_most_votes_of_its_neighbours() -> None:
    codes = torch.tensor([[0, 0], [5, 1], [5, 2], [6, 3]], dtype=torch.uint8)
    new_codes = vote_codes(codes, torch.tensor([1, 2, 3]), torch.tensor([1.0, 1.0, 1.5]))
    assert new_codes.tolist() == [5, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": 5}, r"splits must divide dim 16 \(got 5\)"),
        ({"codebook": 300}, r"codebook must be from 1 to 256 \(got 300\)"),
        ({"levels": 17}, r"levels must be from 1 to 16 \(got 17\)"),
        ({"levels": 16, "codebook": 64}, r"levels exclude codebook"),
        ({"levels": 16, "splits": 4}, r"levels exclude codebook, and splits other than dim / 2"),
        (
            {"assignment": "magic"},
            r"assignment must be one of trained, svd, residual_kmeans, digits \(got 'magic'\)",
        ),
    ],
)
def test_error_names_the_invalid_option(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodesEmbedding(ITEMS, 16, **options)  # type: ignore[arg-type]
