"""The funnel of a log states what was read, dropped and kept."""

from pathlib import Path

from models.data.dataset import SMALL_LOG_EVENTS, choose_min_item_events
from models.data.funnel import add_drop, measure_funnel, select_items
from models.data.interactions import read_interactions


def test_funnel_counts_rows_events_and_repeats(tmp_path: Path) -> None:
    rows = [
        "u,a,1700000000",
        "u,b,1700000100",
        "u,a,1700000200",
        "v,a,1700000300",
        "v,a,1700000300",
        "v,,5",
        "v,a,x",
        "v,a,y",
    ]
    (tmp_path / "a.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    log = read_interactions([tmp_path / "a.csv"])
    funnel = measure_funnel(log.events, log.report)
    assert funnel.to_json() == {
        "files": 1,
        "rows": 8,
        "bad_rows": 3,
        "bad_reasons": {"timestamp is not a time": 2, "no item_id": 1},
        "duplicates": 1,
        "events": 4,
        "users": 2,
        "items": 2,
        "first": "2023-11-14T22:13:20Z",
        "last": "2023-11-14T22:18:20Z",
        "repeats": 1,
        "dropped": [],
        "notes": [],
    }
    assert funnel.format_lines() == [
        "read 8 rows of 1 file: 3 bad (2 timestamp is not a time; 1 no item_id), 1 duplicates",
        "4 events of 2 users and 2 items, 2023-11-14T22:13:20Z to 2023-11-14T22:18:20Z, 1 repeats (25.0%)",
    ]


def test_rule_that_drops_events_is_stated_with_its_cost(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,a,1\nu,b,2\nv,b,3\nw,c,4\n")
    log = read_interactions([tmp_path / "a.csv"])
    selected = select_items(log.events, ["a"])
    funnel = add_drop(measure_funnel(log.events, log.report), log.events, selected, "--min-item-events 5", "lower it")
    (drop,) = funnel.drops
    assert (drop.events, drop.items, drop.users) == (3, 2, 2)
    assert funnel.format_drops() == [
        "dropped by the rule --min-item-events 5: 3 events (75.0%), 2 items, 2 users",
        "warning: the rule --min-item-events 5 drops 75% of the events; lower it",
    ]
    assert funnel.to_json()["first"] is None, "ranks are not times"
    assert add_drop(funnel, log.events, select_items(log.events, ["a", "b", "c"]), "none") is funnel


def test_small_logs_keep_all_items_by_default() -> None:
    assert choose_min_item_events(SMALL_LOG_EVENTS - 1) == 1
    assert choose_min_item_events(SMALL_LOG_EVENTS) == 5
