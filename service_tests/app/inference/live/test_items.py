"""Columns of the live catalogue and the views of versions, against plain dictionaries."""

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.live import row_index
from app.inference.live.items import LiveItems, LiveRow
from app.inference.live.version_view import VersionView
from models.catalogue.catalogue import Catalogue

IDS = [f"i{number}" for number in range(8)]
CATALOGUE = Catalogue(IDS[:6], np.arange(6, 0, -1), [None] * 6, [["a"], ["a", "b"], ["b"], [], ["a"], ["b"]])
ROWS = st.builds(LiveRow, st.booleans(), st.sampled_from([None, (), ("a",), ("b", "c")]))
BATCHES = st.lists(st.tuples(st.dictionaries(st.sampled_from(IDS), ROWS, max_size=4), st.booleans()), max_size=8)


def check(view: VersionView, rows: dict[str, LiveRow]) -> None:
    positions = range(1, CATALOGUE.num_items + 1)
    available = [rows.get(CATALOGUE.item_id(index), LiveRow()).available for index in positions]
    mask = view.available
    assert ([True] * 6 if mask is None else mask[1:].tolist()) == available
    for name in ("a", "b", "c", "none"):
        members = []
        for index in positions:
            categories = rows.get(CATALOGUE.item_id(index), LiveRow()).categories
            members.append(name in (CATALOGUE.get_categories(index) if categories is None else categories))
        assert view.find_category_members(name).tolist() == [False, *members]


@given(batches=BATCHES, position=st.integers(0, 8))
def test_views_follow_all_changes(batches: list[tuple[dict[str, LiveRow], bool]], position: int) -> None:
    live, expected = LiveItems(), dict[str, LiveRow]()
    early, late = VersionView(live, CATALOGUE), None
    for number, (rows, replaces_all) in enumerate(batches):
        if number == position:
            late = VersionView(live, CATALOGUE)
        numbers = live.apply(rows)
        if replaces_all:
            live.reset_except(numbers)
        expected = rows if replaces_all else expected | rows
        check(early, expected)
    check(late or VersionView(live, CATALOGUE), expected)


def test_rows_that_are_merged_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "MAX_RECENT", 3)
    index, rng = row_index.RowIndex(), np.random.default_rng(1)
    numbers: dict[int, int] = {}
    for _ in range(40):
        keys = rng.integers(0, 60, rng.integers(0, 9)).astype(np.uint64)
        for key in keys.tolist():
            numbers.setdefault(key, len(numbers))
        assert index.add(keys).tolist() == [numbers[key] for key in keys.tolist()]
    every = np.arange(70, dtype=np.uint64)
    assert index.find(every).tolist() == [numbers.get(key, -1) for key in every.tolist()]
    assert index.count == len(numbers)


def test_view_that_is_built_while_rows_arrive_misses_none() -> None:
    live = LiveItems()
    ids = [f"n{number}" for number in range(20_000)]
    catalogue = Catalogue(ids, np.ones(len(ids), dtype=np.int64), [None] * len(ids), [[]] * len(ids))
    views: list[VersionView] = []
    thread = threading.Thread(target=lambda: views.extend(VersionView(live, catalogue) for _ in range(5)))
    thread.start()
    for start in range(0, len(ids), 100):
        live.apply({name: LiveRow(available=False) for name in ids[start : start + 100]})
    thread.join()
    for view in views:
        assert view.available is not None
        assert not view.available[1:].any()


def test_bytes_include_the_views_of_versions_in_memory() -> None:
    live = LiveItems()
    live.apply({name: LiveRow() for name in IDS})
    columns = live.nbytes
    views = [VersionView(live, CATALOGUE) for _ in range(2)]
    assert live.nbytes == columns + 2 * views[0].nbytes > columns
    del views[1]
    gc.collect()
    assert live.nbytes == columns + views[0].nbytes


def test_live_items_keep_no_version_alive() -> None:
    live = LiveItems()
    view = VersionView(live, CATALOGUE)
    reference = weakref.ref(view)
    del view
    gc.collect()
    live.apply({"i0": LiveRow(available=False)})
    assert reference() is None
