"""Features of attributes: kept by both files, checked like categories, and absent from earlier artifacts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from models.catalogue.attributes import AttributeFeatures, Value, find_bin, name_bin, split_feature
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.files import ARRAYS, ATTRIBUTE_DTYPES, open_catalogue, write_arrays
from models.catalogue.parquet import write_table

EDGES = {"price": np.array([10.0, 20.5]), "year": np.array([1990.0])}
LISTS = [("brand=Lumen", "price:..10"), (), ("brand=Lumen", "price:10..20.5")]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def make_catalogue(attributes: AttributeFeatures | None) -> Catalogue:
    return Catalogue(["a", "b", "c"], np.array([3, 2, 1]), ["A", None, "C"], [["x"], [], ["x"]], attributes=attributes)


def test_both_files_contain_the_features_apart_from_the_categories(tmp_path: Path) -> None:
    original = make_catalogue(AttributeFeatures(CategoryIndex.from_lists(LISTS), EDGES))
    write_arrays(tmp_path / ARRAYS, original)
    write_table(tmp_path / "table", original)
    mapped = open_catalogue(tmp_path)
    assert list(mapped.attributes.index) == LISTS
    assert {name: edges.tolist() for name, edges in mapped.attributes.edges.items()} == {
        "price": [10.0, 20.5],
        "year": [1990.0],
    }
    assert mapped.nbytes == original.nbytes
    assert list(mapped.categories) == [("x",), (), ("x",)]
    assert mapped.find_category_items("brand=Lumen") is None, "a feature is no category"
    items = mapped.attributes.find_items("brand=Lumen")
    assert items is not None
    assert items.tolist() == [1, 3]
    assert pl.read_parquet(tmp_path / "table")["attributes"].to_list() == [list(names) for names in LISTS]


def test_items_without_attributes_are_written_as_by_earlier_releases(tmp_path: Path) -> None:
    write_arrays(tmp_path / ARRAYS, make_catalogue(None))
    write_table(tmp_path / "table", make_catalogue(None))
    assert not ATTRIBUTE_DTYPES.keys() & load_file(tmp_path / ARRAYS).keys()
    assert pl.read_parquet(tmp_path / "table").columns == ["item_id", "count", "title", "categories"]
    mapped = open_catalogue(tmp_path)
    assert list(mapped.attributes.index) == [(), (), ()]
    assert not mapped.attributes.has_features
    assert mapped.attributes.nbytes == 0
    assert mapped.attributes.find_items("brand=Lumen") is None
    assert list(mapped.attributes.extend([[("brand", "Lumen")]]).index) == [(), (), (), ()]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("attributes.numbers", lambda array: array + 9, "attributes.numbers holds"),
        ("attributes.ends", lambda array: array[::-1], "attributes.ends holds offsets that decrease"),
        ("attributes.names.text", lambda array: np.full_like(array, 255), "attributes.names.text is not UTF-8"),
        ("bins.edges", lambda array: array[::-1], "bins.edges holds edges that do not rise"),
        ("bins.ends", lambda array: array[:1], "bins.ends ends at 2 instead of 3"),
        ("bins.ends", lambda array: array.astype(np.int32), "bins.ends is int32"),
        ("bins.names.text", None, "bins.names.text is missing"),
    ],
)
def test_wrong_arrays_are_refused_by_name(name: str, change: object, message: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / ARRAYS, make_catalogue(AttributeFeatures(CategoryIndex.from_lists(LISTS), EDGES)))
    arrays = {key: array.copy() for key, array in load_file(tmp_path / ARRAYS).items()}
    array = arrays.pop(name)
    if callable(change):
        arrays[name] = np.ascontiguousarray(change(array))
    save_file(arrays, tmp_path / ARRAYS)
    with pytest.raises(ValueError, match=message):
        open_catalogue(tmp_path)


@given(edges=st.lists(NUMBERS, min_size=1, max_size=7, unique=True).map(sorted), numbers=st.lists(NUMBERS, min_size=2))
def test_numbers_share_a_bin_where_no_edge_is_between_them(edges: list[float], numbers: list[float]) -> None:
    array = np.array(edges)
    names = [name_bin("price", array, number) for number in range(len(edges) + 1)]
    assert len(set(names)) == len(names)
    assert {split_feature(name) for name in names} == {"price"}
    first, *others = numbers
    for other in others:
        low, high = sorted((first, other))
        is_apart = any(low < edge <= high for edge in edges)
        assert (find_bin(array, first) != find_bin(array, other)) == is_apart


def test_features_of_a_new_item_are_those_of_the_training() -> None:
    attributes = AttributeFeatures(CategoryIndex.from_lists(LISTS), EDGES)
    values: list[Value] = [("brand", "Lumen"), ("price", 20.5), ("weight", 3.0), ("brand", "Argent")]
    assert attributes.list_features(values) == ["brand=Lumen", "price:20.5..", "brand=Argent"]
    extended = attributes.extend([values, []])
    assert list(extended.index) == [*LISTS, ("brand=Lumen",), ()], "features that no trained item has are dropped"
    assert attributes.names == {"brand", "price"}
