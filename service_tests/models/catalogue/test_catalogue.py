"""A catalogue in arrays equals the lists it was built from, in memory and memory-mapped."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import item_key
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import ARRAYS, open_catalogue, write_arrays
from models.catalogue.item_key import item_keys
from models.catalogue.parquet import write_table
from models.catalogue.string_array import StringArray

TEXT = st.text(max_size=8)
ITEMS = st.lists(st.tuples(st.none() | TEXT, st.lists(TEXT, max_size=3)), min_size=1, max_size=20)


def make_catalogue(items: list[tuple[str | None, list[str]]]) -> Catalogue:
    counts = np.arange(len(items), 0, -1, dtype=np.int64)
    return Catalogue(
        [f"ü{n}" for n in range(len(items))], counts, [title for title, _ in items], [names for _, names in items]
    )


@given(items=ITEMS)
def test_lookups_return_the_title_and_categories_of_every_item(items: list[tuple[str | None, list[str]]]) -> None:
    catalogue = make_catalogue(items)
    for index, (title, names) in enumerate(items, start=1):
        assert catalogue.find_index(catalogue.item_id(index)) == index
        assert (catalogue.title(index), catalogue.get_categories(index)) == (title, tuple(names))
    for name in {name for _, names in items for name in names}:
        indices = catalogue.find_category_items(name)
        assert indices is not None
        assert indices.tolist() == [index for index, (_, names) in enumerate(items, start=1) if name in names]
    assert catalogue.find_category_items("none of them") is None
    assert "stranger" not in catalogue
    item_ids = [catalogue.item_id(index) for index in range(1, len(items) + 1)]
    assert catalogue.select_known([*item_ids, "stranger", *item_ids]) == set(item_ids)
    assert catalogue.select_known([]) == set()


def test_both_files_contain_the_same_catalogue(tmp_path: Path) -> None:
    original = make_catalogue([("Ä", ["a", "b"]), (None, []), ("", ["b"]), (None, ["a", "a"])])
    write_table(tmp_path / "table", original)
    write_arrays(tmp_path / ARRAYS, original)
    table, mapped = pl.read_parquet(tmp_path / "table"), open_catalogue(tmp_path)
    assert mapped.item_ids == table["item_id"].to_list() == original.item_ids
    assert mapped.titles == table["title"].to_list() == ["Ä", None, "", None]
    assert mapped.categories == original.categories == [("a", "b"), (), ("b",), ("a", "a")]
    assert table["categories"].to_list() == [["a", "b"], [], ["b"], ["a", "a"]]
    assert mapped.counts.tolist() == table["count"].to_list() == [4, 3, 2, 1]
    assert mapped.keys.find_indices(item_keys(["ü2", "ü9", "ü0"])).tolist() == [3, 0, 1]
    assert mapped.nbytes == original.nbytes


def test_both_files_preserve_items_without_titles_and_categories(tmp_path: Path) -> None:
    original = make_catalogue([(None, []), (None, [])])
    write_table(tmp_path / "table", original)
    write_arrays(tmp_path / ARRAYS, original)
    table, mapped = pl.read_parquet(tmp_path / "table"), open_catalogue(tmp_path)
    assert mapped.titles == table["title"].to_list() == [None, None]
    assert list(mapped.categories) == [(), ()]
    assert table["categories"].to_list() == [[], []]


def test_folder_without_arrays_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{ARRAYS} is missing; export the artifact again"):
        open_catalogue(tmp_path)


@given(strings=st.lists(TEXT, max_size=20))
def test_string_array_behaves_like_a_list(strings: list[str]) -> None:
    array = StringArray.from_strings(strings)
    assert array == strings
    assert [array[position - len(strings)] for position in range(len(strings))] == strings
    assert array[1:4] == strings[1:4]
    with pytest.raises(IndexError):
        array[len(strings)]


def test_duplicate_item_id_raises() -> None:
    with pytest.raises(ValueError, match="'twin' occurs twice in the catalogue"):
        Catalogue(["one", "twin", "two", "twin"], np.ones(4, dtype=np.int64), [None] * 4, [[]] * 4)


def test_key_collision_error_names_both_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_key, "item_keys", lambda ids: item_keys([text[:1] for text in ids]))
    with pytest.raises(ValueError, match="'ab' and 'ac' have the same key"):
        Catalogue(["x", "ab", "ac"], np.ones(3, dtype=np.int64), [None] * 3, [[]] * 3)


def test_unknown_item_with_the_key_of_an_item_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(["x", "y"], np.ones(2, dtype=np.int64), [None] * 2, [[]] * 2)
    monkeypatch.setattr("models.catalogue.catalogue.item_keys", lambda _: item_keys(["x"]))
    assert catalogue.find_index("x") == 1
    assert catalogue.find_index("stranger") is None
