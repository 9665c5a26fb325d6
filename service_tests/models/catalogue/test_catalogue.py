"""A catalogue in arrays answers as the lists did that it was made from, from memory and from a mapped file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.catalogue.key_index
from models.catalogue.arrays import map_arrays, write_arrays
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import item_keys
from models.catalogue.parquet import read_table, write_table
from models.catalogue.string_array import StringArray

TEXT = st.text(max_size=8)
ITEMS = st.lists(st.tuples(st.none() | TEXT, st.lists(TEXT, max_size=3)), min_size=1, max_size=20)


def catalogue_of(items: list[tuple[str | None, list[str]]]) -> Catalogue:
    counts = np.arange(len(items), 0, -1, dtype=np.int64)
    return Catalogue(
        [f"ü{n}" for n in range(len(items))], counts, [title for title, _ in items], [names for _, names in items]
    )


@given(items=ITEMS)
def test_every_item_is_found_with_what_was_said_of_it(items: list[tuple[str | None, list[str]]]) -> None:
    catalogue = catalogue_of(items)
    for index, (title, names) in enumerate(items, start=1):
        assert catalogue.find_index(catalogue.item_id(index)) == index
        assert (catalogue.title(index), catalogue.get_categories(index)) == (title, tuple(names))
    for name in {name for _, names in items for name in names}:
        found = catalogue.find_category_items(name)
        assert found is not None
        assert found.tolist() == [index for index, (_, names) in enumerate(items, start=1) if name in names]
    assert catalogue.find_category_items("none of them") is None
    assert "stranger" not in catalogue


def test_both_files_give_the_same_catalogue_back(tmp_path: Path) -> None:
    written = catalogue_of([("Ä", ["a", "b"]), (None, []), ("", ["b"]), (None, ["a", "a"])])
    write_table(tmp_path / "table", written)
    write_arrays(tmp_path / "arrays", written)
    for read in (read_table(tmp_path / "table"), map_arrays(tmp_path / "arrays")):
        assert read.item_ids == written.item_ids
        assert read.titles == ["Ä", None, "", None]
        assert read.categories == written.categories == [("a", "b"), (), ("b",), ("a", "a")]
        assert read.counts.tolist() == [4, 3, 2, 1]
        assert read.keys.find_indices(item_keys(["ü2", "ü9", "ü0"])).tolist() == [3, 0, 1]
        assert read.nbytes == written.nbytes


def test_items_without_titles_and_categories_survive_too(tmp_path: Path) -> None:
    written = catalogue_of([(None, []), (None, [])])
    write_table(tmp_path / "table", written)
    write_arrays(tmp_path / "arrays", written)
    for read in (read_table(tmp_path / "table"), map_arrays(tmp_path / "arrays")):
        assert read.titles == [None, None]
        assert list(read.categories) == [(), ()]


@given(texts=st.lists(TEXT, max_size=20))
def test_texts_are_a_sequence_like_any_other(texts: list[str]) -> None:
    kept = StringArray.find_indices(texts)
    assert kept == texts
    assert [kept[place - len(texts)] for place in range(len(texts))] == texts
    assert kept[1:4] == texts[1:4]
    with pytest.raises(IndexError):
        kept[len(texts)]


def test_an_id_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'twin' stands in the catalogue twice"):
        Catalogue(["one", "twin", "two", "twin"], np.ones(4, dtype=np.int64), [None] * 4, [[]] * 4)


def test_two_ids_with_one_key_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.catalogue.key_index, "item_keys", lambda ids: item_keys([text[:1] for text in ids]))
    with pytest.raises(ValueError, match="'ab' and 'ac' have the same key"):
        Catalogue(["x", "ab", "ac"], np.ones(3, dtype=np.int64), [None] * 3, [[]] * 3)


def test_a_stranger_with_the_key_of_an_item_is_not_that_item(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(["x", "y"], np.ones(2, dtype=np.int64), [None] * 2, [[]] * 2)
    monkeypatch.setattr("models.catalogue.catalogue.item_keys", lambda _: item_keys(["x"]))
    assert catalogue.find_index("x") == 1
    assert catalogue.find_index("stranger") is None
