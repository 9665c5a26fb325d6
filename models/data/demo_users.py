"""The users of the demo that are written by hand: a taste in one line, and the items that show it.

Their histories leave something open that a person can see, such as the next part of a series. By the law of the log it
is the series of the last item that goes on; another one that was left open counts no more than its genre. This file
knows item ids of the demo and nothing of how the catalogue or the log is made.
"""

DEMO_USERS: dict[str, str] = {
    "ada": "in the middle of two mystery series at once",
    "ben": "space, one series after the other, now in the third",
    "chloe": "cooks and gardens by turns",
    "dev": "new here: one single history book",
    "emil": "music for a long time, lately only the sea",
    "farah": "finishes what she begins: two fantasy series to the end, a third up to its last part",
    "gus": "tries the first part of everything and never goes on",
}


def demo_histories() -> dict[str, list[str]]:
    """The item ids of every user of DEMO_USERS, oldest first, none twice."""
    return {
        "ada": [
            *_parts("willow-inquest", 1, 5),
            "quarry-society-1",
            *_by_turns(_parts("lantern-coast", 1, 2), _parts("harbour-letters", 1, 2)),
        ],
        "ben": [*_parts("ember-station", 1, 5), *_parts("cobalt-signal", 1, 5), *_parts("silent-convoy", 1, 3)],
        "chloe": [
            *_by_turns(_parts("saffron-table", 1, 5), _parts("moss-year", 1, 5)),
            *_by_turns(_parts("copper-kettle", 1, 2), _parts("orchard-notebook", 1, 2)),
        ],
        "dev": ["caravan-envoys-1"],
        "emil": [
            *_parts("velvet-sessions", 1, 5),
            *_parts("brass-quartet", 1, 4),
            *_parts("salt-almanac", 1, 5),
            *_parts("pilots-log", 1, 3),
        ],
        "farah": [*_parts("thorn-covenant", 1, 5), *_parts("winter-wardens", 1, 5), *_parts("glass-throneless", 1, 4)],
        "gus": [
            "foxglove-coast-1",
            "cobalt-orbit-1",
            "market-suppers-1",
            "tidal-passage-1",
            "ashen-gate-1",
            "clay-path-1",
            "attic-refrain-1",
            "marble-envoys-1",
        ],
    }


def _parts(series: str, first: int, last: int) -> list[str]:
    return [f"{series}-{part}" for part in range(first, last + 1)]


def _by_turns(one: list[str], other: list[str]) -> list[str]:
    return [item for pair in zip(one, other, strict=True) for item in pair]
