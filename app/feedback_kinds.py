"""Which event types are impressions, clicks and conversions of a recommendation, by NEXTUP_FEEDBACK_TYPES."""

from typing import Literal, get_args

Kind = Literal["impression", "click", "conversion"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_TYPES = (
    "impression=impression,click=click,view=click,open=click,play=click,"
    "buy=conversion,purchase=conversion,order=conversion,transaction=conversion"
)
MAX_TYPES = 100


class FeedbackKinds:
    """Kinds by event type, read from `type=kind,…`; letter case, and - or a space for _, make no difference."""

    def __init__(self, text: str = DEFAULT_TYPES) -> None:
        """ValueError for a text of another form."""
        self._kinds: dict[str, Kind] = {}
        for entry in filter(None, map(str.strip, text.split(","))):
            name, _, kind = entry.partition("=")
            if not name.strip() or kind.strip() not in KINDS:
                raise ValueError(f"must be type=kind,… with the kinds {', '.join(KINDS)} (got {entry!r})")
            self._kinds[normalize_type(name)] = next(known for known in KINDS if known == kind.strip())
        if len(self._kinds) > MAX_TYPES:
            raise ValueError(f"may name at most {MAX_TYPES} types (got {len(self._kinds)})")

    def find(self, event_type: str | None) -> Kind | None:
        """Return the kind of an event type; None if it is no feedback."""
        return None if event_type is None else self._kinds.get(normalize_type(event_type))


def normalize_type(name: str) -> str:
    """Write a type as all comparisons do."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
