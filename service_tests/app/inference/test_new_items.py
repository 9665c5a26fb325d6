"""New items of a version: which they are, where they are placed, and until when."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.inference.live.attributes import AttributeValue
from app.inference.live.items import LiveItems, LiveRow
from app.inference.new_items.features import LiveFeatures
from app.inference.query import Query, TopItems
from app.inference.servable import Servable, open_servable
from models.catalogue.attributes import AttributeFeatures
from models.catalogue.categories import CategoryIndex
from models.catalogue.files import open_catalogue
from models.catalogue.item_key import ItemKeys, item_keys
from service_tests.support.artifacts import write_tiny_artifact

ITEMS = range(1, 61)
LOW = LiveRow(categories=("low",), is_listed=True)


def open_version(folder: Path, live: LiveItems) -> Servable:
    return open_servable(folder, device="cpu", threads=1, max_batch=2, native=False, live=live)


def load_attributes(folder: Path) -> AttributeFeatures:
    return open_catalogue(folder).attributes


def recommend(servable: Servable, *history: str, k: int = 90) -> TopItems:
    (answer,) = servable.run_batch([Query(history=item_keys(history), k=k)])
    assert isinstance(answer, TopItems)
    return answer


def test_version_that_was_trained_on_an_item_takes_over(tmp_path: Path) -> None:
    live = LiveItems()
    live.apply({"i61": LOW, "i75": LOW})
    old, new = (open_version(write_tiny_artifact(tmp_path / f"{size}", num_items=size), live) for size in (60, 70))
    for servable, expected in ((old, {"i61", "i75"}), (new, {"i75"})):
        servable.place_new_items(10)
        answer = recommend(servable, "i2")
        assert set((answer.new_item_ids or {}).values()) == expected
        assert len(answer.item_ids) == len(set(answer.item_ids)) == servable.catalogue.num_items - 1 + len(expected)
    live.apply({"i75": LiveRow(), "i61": LiveRow()})
    for servable in (old, new):
        servable.place_new_items(10)
        assert servable.overlay is None, "their records were removed"


def test_item_is_placed_by_most_of_what_it_shares(tiny_artifact: Path) -> None:
    live = LiveItems()
    live.apply({name: LiveRow(attributes={"brand": "Lumen"}) for name in ("i30", "i31")})
    new = {
        "by category and brand": LiveRow(categories=("odd",), attributes={"brand": "Lumen"}, is_listed=True),
        "by brand": LiveRow(attributes={"brand": "Lumen", "price": 5}, is_listed=True),
        "unlike all": LiveRow(categories=("x",), attributes={"brand": "Argent"}, is_listed=True),
        "not described": LiveRow(is_listed=True),
    }
    live.apply(new)
    servable = open_version(tiny_artifact, live)
    servable.place_new_items(10)
    assert servable.overlay is not None
    neighbours = servable.overlay.substitutes.tolist()
    assert neighbours[0] == 31, "the only item with both"
    assert neighbours[1] in (30, 31)
    assert len(neighbours) == 2


@pytest.fixture(scope="module")
def described_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items 1 to 30 have a brand, 31 to 45 a low price, 46 to 60 a high one, and 20 to 25 are on sale."""
    lists = [["brand=Argent"] if number <= 30 else ["price:..10" if number <= 45 else "price:10.."] for number in ITEMS]
    for number in range(20, 26):
        lists[number - 1].append("sale=true")
    attributes = AttributeFeatures(CategoryIndex.from_lists(lists), {"price": np.array([10.0])})
    return write_tiny_artifact(tmp_path_factory.mktemp("described"), attributes=attributes)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"brand": "Argent"}, range(1, 31)),
        ({"price": 3}, range(31, 46)),
        ({"price": 10, "released": "2026-05-01T00:00:00Z"}, range(46, 61)),
        ({"sale": True, "brand": "Argent"}, range(20, 26)),
        ({"sale": False}, ()),
        ({"brand": ["Lumen", "Argent"]}, range(1, 31)),
        ({"weight": 3}, ()),
    ],
)
def test_attributes_of_the_training_place_an_item_without_live_ones(
    attributes: dict[str, AttributeValue], expected: Sequence[int], described_artifact: Path
) -> None:
    live = LiveItems()
    live.apply({"new": LiveRow(attributes=attributes, is_listed=True)})
    servable = open_version(described_artifact, live)
    servable.place_new_items(10)
    assert (servable.overlay is not None) == bool(expected)
    if servable.overlay is not None:
        assert servable.overlay.substitutes[0] in expected


def test_live_value_of_a_trained_item_replaces_that_of_the_training(described_artifact: Path) -> None:
    live = LiveItems()
    features = LiveFeatures(open_version(described_artifact, live).live, load_attributes(described_artifact))
    live.apply({"i1": LiveRow(attributes={"brand": "Lumen"}), "i60": LiveRow(attributes={"brand": "Argent"})})
    live.apply({"i31": LiveRow(attributes={"price": 11}), "i46": LiveRow(attributes={"colour": "red"})})
    assert features.find_items(("brand", "Argent")).tolist() == [*range(2, 31), 60]
    assert features.find_items(("brand", "Lumen")).tolist() == [1]
    assert features.find_items(("price", 0)).tolist() == list(range(32, 46))
    assert features.find_items(("price", 1)).tolist() == [31, *range(46, 61)]
    live.apply({"i1": LiveRow(), "i31": LiveRow()})
    assert features.find_items(("brand", "Argent")).tolist() == [*range(1, 31), 60]
    assert features.find_items(("price", 0)).tolist() == list(range(31, 46))


def test_items_before_it_in_histories_place_an_item_once_they_are_enough(tiny_artifact: Path) -> None:
    live = LiveItems()
    live.apply({"lamp": LOW})
    servable = open_version(tiny_artifact, live)

    def place(*weights: float) -> int:
        keys: ItemKeys = item_keys(["i50", "unknown", "i51"])
        live.cooccurrences.put({"lamp": (keys, np.array(weights))})
        servable.place_new_items(10)
        assert servable.overlay is not None
        return int(servable.overlay.substitutes[0])

    assert place(2.0, 90.0, 1.0) <= 10, "its category"
    assert place(4.0, 0.0, 1.5) in (50, 51)


def test_limit_keeps_the_items_that_changed_last(tiny_artifact: Path) -> None:
    live = LiveItems()
    live.apply({f"new{number}": LOW for number in range(5)})
    live.apply({"new1": LOW})
    servable = open_version(tiny_artifact, live)
    servable.place_new_items(2)
    assert set((recommend(servable, "i2").new_item_ids or {}).values()) == {"new1", "new4"}
