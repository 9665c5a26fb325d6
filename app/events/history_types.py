"""Which event types enter the history of a user, by NEXTUP_HISTORY_TYPES.

A history holds the items that a user chose. An impression or a dislike in it would count as a choice, because the model
reads items and not types.
"""

NEGATIVE_TYPES = frozenset(
    {"impression", "dislike", "downvote", "skip", "hide", "block", "report", "not_interested", "unlike", "unsave"}
    | {"remove", "remove_from_cart", "return", "refund", "cancel"}
)
"""Types that do not enter a history while NEXTUP_HISTORY_TYPES is unset: shown, rejected or taken back."""


class HistoryTypes:
    """Types that enter a history: those of a comma-separated list; for an empty list, all but NEGATIVE_TYPES.

    Letter case, and - or a space for _, make no difference. An event without a type always enters.
    """

    def __init__(self, text: str = "") -> None:
        self._listed = frozenset(filter(None, map(_normalize, text.split(","))))

    def includes(self, event_type: str | None) -> bool:
        if event_type is None:
            return True
        name = _normalize(event_type)
        return name in self._listed if self._listed else name not in NEGATIVE_TYPES

    def explain_exclusion(self, event_type: str) -> str:
        """Describe why events of this type are ignored, and which setting changes that."""
        if self._listed:
            return f"type {event_type!r} is not in NEXTUP_HISTORY_TYPES, so the event is not stored"
        return (
            f"type {event_type!r} is not a choice of the item, so the event is not stored; "
            "NEXTUP_HISTORY_TYPES sets the types that are"
        )


def _normalize(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
