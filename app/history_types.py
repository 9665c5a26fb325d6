"""Which event types enter the history of a user, by NEXTUP_HISTORY_TYPES, and whether a model was trained so.

A history holds the items that a user chose. An impression or a dislike in it would count as a choice, because the model
reads items and not types.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.feedback_kinds import normalize_type

NEGATIVE_TYPES = frozenset(
    {"impression", "dislike", "downvote", "skip", "hide", "block", "report", "not_interested", "unlike", "unsave"}
    | {"remove", "remove_from_cart", "return", "refund", "cancel"}
)
"""Types that do not enter a history while NEXTUP_HISTORY_TYPES is unset: shown, rejected or taken back."""
SETTING = "NEXTUP_HISTORY_TYPES"
MANIFEST_ENTRY = "event_types"
"""Entry of an artifact's manifest with the types that entered the histories of its training."""
MAX_LISTED = 3


class HistoryTypes:
    """Types that enter a history: those of a comma-separated list; for an empty list, all but NEGATIVE_TYPES.

    Letter case, and - or a space for _, make no difference. An event without a type always enters.
    """

    def __init__(self, text: str = "") -> None:
        self._listed = frozenset(filter(None, map(normalize_type, text.split(","))))

    @property
    def names(self) -> list[str]:
        """The listed types, sorted; empty for the rule without a list."""
        return sorted(self._listed)

    def includes(self, event_type: str | None) -> bool:
        if event_type is None:
            return True
        name = normalize_type(event_type)
        return name in self._listed if self._listed else name not in NEGATIVE_TYPES

    def explain_exclusion(self, event_type: str) -> str:
        """Describe why events of this type are ignored, and which setting changes that."""
        if self._listed:
            return f"type {event_type!r} is not in NEXTUP_HISTORY_TYPES, so the event is not stored"
        return (
            f"type {event_type!r} is not a choice of the item, so the event is not stored; "
            "NEXTUP_HISTORY_TYPES sets the types that are"
        )


def describe_difference(setting: str, manifest: Mapping[str, Any]) -> str | None:
    """Describe how NEXTUP_HISTORY_TYPES differs from the training of an artifact; None if it does not.

    Artifacts without a record, and those of logs without types, do not differ from any setting.
    """
    record = manifest.get(MANIFEST_ENTRY) or {}
    if record.get("history") is None:
        return None
    online, trained = HistoryTypes(setting), HistoryTypes(",".join(record["history"]))
    entered = record["entered"]
    names = {*entered, *online.names, *trained.names}
    added = sorted(name for name in names if online.includes(name) and not trained.includes(name))
    missing = sorted(name for name in entered if not online.includes(name))
    is_open = bool(trained.names) and not online.names
    parts = []
    if added or is_open:
        parts.append(
            f"{_format_names(added, 'every other type' if is_open else '')} did not enter those of its training"
        )
    if missing:
        parts.append(f"{_format_names(missing)} entered those of its training and cannot enter these")
    if not parts:
        return None
    action = f"set {SETTING}={','.join(trained.names)}" if trained.names else f"unset {SETTING}"
    return (
        f"{SETTING} lets other event types into histories than the model was trained with: {', and '.join(parts)}; "
        f"{action}, or train with --history-types"
    )


def _format_names(names: Sequence[str], rule: str = "") -> str:
    """Names for people, at most MAX_LISTED of them."""
    listed = [repr(name) for name in names[:MAX_LISTED]]
    if len(names) > MAX_LISTED:
        listed.append(f"{len(names) - MAX_LISTED} more")
    return ", ".join(filter(None, (*listed, rule)))
