"""The setting of the service compared with the types that entered the histories of a training."""

from pathlib import Path
from typing import Any

import pytest

from app.history_types import describe_difference
from models.manifest import ManifestError, read_manifest
from service_tests.support.artifacts import record_event_types, write_tiny_artifact


def describe(setting: str, history: list[str] | None, entered: list[str]) -> str | None:
    return describe_difference(setting, {"event_types": {"history": history, "entered": entered}})


@pytest.mark.parametrize(
    ("setting", "history", "entered"),
    [
        ("", [], ["buy", "view"]),
        ("view,Buy", ["buy", "view"], ["buy", "view"]),
        ("buy,view", [], ["buy", "view"]),
        ("buy", ["buy", "cart"], ["buy"]),
        ("buy", None, []),
        ("", None, []),
    ],
)
def test_same_rule_for_the_types_of_the_log_is_no_difference(
    setting: str, history: list[str] | None, entered: list[str]
) -> None:
    assert describe(setting, history, entered) is None
    assert describe_difference(setting, {}) is None, "an artifact without a record"


@pytest.mark.parametrize(
    ("setting", "history", "entered", "parts"),
    [
        ("buy", [], ["buy", "view"], ["'view' entered", "cannot enter these", "; unset NEXTUP_HISTORY_TYPES"]),
        ("", ["buy"], ["buy"], ["every other type did not enter", "; set NEXTUP_HISTORY_TYPES=buy,"]),
        ("buy,view", ["buy"], ["buy"], ["'view' did not enter"]),
        ("view", ["buy"], ["buy"], ["'view' did not enter", "and 'buy' entered"]),
        ("impression", [], ["view"], ["'impression' did not enter", "'view' entered"]),
        ("z", [], list("abcde"), ["'a', 'b', 'c', 2 more entered"]),
    ],
)
def test_difference_names_the_types_and_what_to_set(
    setting: str, history: list[str], entered: list[str], parts: list[str]
) -> None:
    text = describe(setting, history, entered) or ""
    assert "\n" not in text
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    "record",
    [
        {"history": ["x"] * 101, "entered": []},
        {"history": "buy", "entered": []},
        {"history": None},
        {"history": None, "entered": ["x" * 129]},
        {"history": None, "entered": [], "weights": {"buy": "much"}},
        [],
    ],
)
def test_manifest_with_a_wrong_record_is_damaged(tmp_path: Path, record: Any) -> None:
    record_event_types(write_tiny_artifact(tmp_path / "model"), record)
    with pytest.raises(ManifestError, match="event_types"):
        read_manifest(tmp_path / "model")
