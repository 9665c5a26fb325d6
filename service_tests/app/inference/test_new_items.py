"""New items of a version: which they are, where they are placed, and until when."""

from pathlib import Path

import numpy as np

from app.inference.live.items import LiveItems, LiveRow
from app.inference.query import Query, TopItems
from app.inference.servable import Servable, open_servable
from models.catalogue.item_key import ItemKeys, item_keys
from service_tests.support.artifacts import write_tiny_artifact

LOW = LiveRow(categories=("low",), is_listed=True)


def open_version(folder: Path, live: LiveItems) -> Servable:
    return open_servable(folder, device="cpu", threads=1, max_batch=2, native=False, live=live)


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
