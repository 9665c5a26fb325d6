"""Vectors that the items of a category share while the first stage trains."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.batch import SequenceBatch
from models.build import build_model
from models.catalogue.attributes import AttributeFeatures
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.embeddings.full import FullEmbedding
from models.runners.packed_model import is_supported
from models.training.category_table import MAX_CATEGORIES, CategoryTable, select_shared_categories
from models.training.options import CategoryVectors, RunContext
from models.training.stages import train_model
from service_tests.models.training.test_stages import CODES
from service_tests.models.training.test_trainer import CPU, OPTIONS, have_same_weights, make_cyclic_log

CATEGORIES = CategoryIndex.from_lists([("a", "b"), (), ("a", "alone"), ("b", "a")])


def make_log(*, has_categories: bool, has_attributes: bool = False) -> Dataset:
    dataset = make_cyclic_log()
    ids = [dataset.catalogue.item_id(index) for index in range(1, dataset.catalogue.num_items + 1)]
    categories = [(f"c{number % 3}",) if has_categories else () for number in range(len(ids))]
    features = CategoryIndex.from_lists(
        [(f"brand={number % 3}",) if has_attributes else () for number in range(len(ids))]
    )
    catalogue = Catalogue(
        ids, dataset.catalogue.counts, [None] * len(ids), categories, attributes=AttributeFeatures(features, {})
    )
    return dataclasses.replace(dataset, catalogue=catalogue)


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmno"), max_size=12), min_size=1, max_size=20))
def test_members_are_the_most_common_shared_categories_of_each_item(lists: list[list[str]]) -> None:
    members = select_shared_categories(CategoryIndex.from_lists(lists))
    counts = Counter(name for names in lists for name in names)
    assert members.shape == (len(lists) + 1, MAX_CATEGORIES)
    assert not members[0].any(), "padding"
    by_number: dict[int, int] = {}
    for names, row in zip(lists, members[1:], strict=True):
        shared = sorted((counts[name] for name in set(names) if counts[name] >= 2), reverse=True)[:MAX_CATEGORIES]
        assert np.count_nonzero(row) == len(shared)
        for number, count in zip(row[row > 0].tolist(), shared, strict=True):
            assert by_number.setdefault(number, count) == count, "a number stands for one category"


def test_item_is_its_vector_plus_those_of_its_shared_categories() -> None:
    full = FullEmbedding(4, 8)
    table = CategoryTable(full, CATEGORIES)
    a, b = table.category_vectors.weight[1:]
    own = full.vectors.weight
    expected = torch.stack([own[0], own[1] + a + b, own[2], own[3] + a, own[4] + a + b])
    torch.testing.assert_close(table.table(), expected)
    rows = torch.tensor([[3, 1], [2, 0]])
    torch.testing.assert_close(table.table(rows), expected[rows])
    torch.testing.assert_close(table(SequenceBatch(rows, torch.tensor([2, 1]))), expected[rows])
    hidden = torch.randn(3, 8)
    torch.testing.assert_close(table.scores(hidden), hidden @ expected.T)


def test_attributes_have_vectors_of_their_own_and_places_of_their_own() -> None:
    full = FullEmbedding(4, 8)
    table = CategoryTable(full, CATEGORIES, CategoryIndex.from_lists([("a",), ("a", "x"), ("x",), ()]))
    a, b, first, second = table.category_vectors.weight[1:]
    own = full.vectors.weight
    expected = torch.stack(
        [own[0], own[1] + a + b + first, own[2] + first + second, own[3] + a + second, own[4] + a + b]
    )
    torch.testing.assert_close(table.table(), expected)
    many = CategoryIndex.from_lists([[f"c{number}" for number in range(MAX_CATEGORIES + 2)]] * 2)
    members = CategoryTable(FullEmbedding(2, 8), many, many).members
    assert [len(set(row.tolist())) for row in members] == [1, 2 * MAX_CATEGORIES, 2 * MAX_CATEGORIES]


def test_model_is_validated_with_a_table_that_native_code_reads() -> None:
    config = ModelConfig(Part("full"), Part("cone"), Part("tied"), dim=32, max_len=10)
    model = build_model(config, 4).eval()
    assert isinstance(model.embedding, FullEmbedding)
    model.embedding = CategoryTable(model.embedding, CATEGORIES)
    assert not is_supported(model)
    merged = model.with_embedding(model.embedding.merge())
    assert is_supported(merged)
    assert isinstance(model.embedding, CategoryTable)
    batch = SequenceBatch(torch.tensor([[3, 1, 4], [2, 0, 0]]), torch.tensor([3, 1]))
    with torch.no_grad():
        hidden = model.encode_last(batch)
        torch.testing.assert_close(merged.encode_last(batch), hidden)
        torch.testing.assert_close(merged.scores(hidden), model.scores(hidden))


@pytest.mark.slow
def test_attributes_share_vectors_as_categories_do(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=1)
    by_attributes, by_categories, plain = (
        train_model(make_log(**part), CODES, options, RunContext(CPU, tmp_path / name))[0]
        for name, part in (
            ("attributes", {"has_categories": False, "has_attributes": True}),
            ("categories", {"has_categories": True}),
            ("plain", {"has_categories": False}),
        )
    )
    assert have_same_weights(by_attributes, by_categories)
    assert not have_same_weights(by_attributes, plain)


@pytest.mark.slow
def test_categories_share_vectors_by_default_and_the_trained_model_has_none_of_them(tmp_path: Path) -> None:
    dataset = make_log(has_categories=True)
    shared, _, best = train_model(dataset, CODES, OPTIONS, RunContext(CPU, tmp_path / "shared"))
    options = dataclasses.replace(OPTIONS, category_vectors="off")
    plain, _, _ = train_model(dataset, CODES, options, RunContext(CPU, tmp_path / "plain"))
    assert best is not None
    assert best.ndcg > 0.5
    assert shared.state_dict().keys() == plain.state_dict().keys()
    assert not have_same_weights(shared, plain)


@pytest.mark.parametrize("category_vectors", ["auto", "off"])
def test_log_without_categories_trains_as_without_category_vectors(
    category_vectors: CategoryVectors, tmp_path: Path
) -> None:
    options = dataclasses.replace(OPTIONS, category_vectors=category_vectors, epochs=1)
    dataset = make_log(has_categories=category_vectors == "off")
    trained, _, _ = train_model(dataset, CODES, options, RunContext(CPU, tmp_path / "trained"))
    plain, _, _ = train_model(make_log(has_categories=False), CODES, options, RunContext(CPU, tmp_path / "plain"))
    assert have_same_weights(trained, plain)


@pytest.mark.parametrize(
    ("embedding", "has_categories", "message"),
    [("full", True, "compresses a trained table"), ("codes", False, "--items with a categories column")],
)
def test_category_vectors_without_effect_are_refused(
    embedding: str, has_categories: bool, message: str, tmp_path: Path
) -> None:
    config = CODES if embedding == "codes" else dataclasses.replace(CODES, embedding=Part("full"))
    options = dataclasses.replace(OPTIONS, category_vectors="on")
    with pytest.raises(ValueError, match=message):
        train_model(make_log(has_categories=has_categories), config, options, RunContext(CPU, tmp_path))
