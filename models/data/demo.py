"""Demo data: a synthetic catalogue with readable titles, a log, and handwritten users whose taste is easy to judge.

Titles are combined from a word list. After parts 1 and 2 of a series a good recommendation is part 3, then items of the
same genre. The log comes from the generator in synthetic.py; a few users are written by hand.
"""

import dataclasses
from pathlib import Path

import polars as pl

from models.data.synthetic import SyntheticLogConfig, generate_log

PARTS = 5
WORDS: dict[str, tuple[list[str], list[str]]] = {
    "mystery": (["Lantern", "Harbour", "Willow", "Quarry", "Foxglove"], ["Coast", "Letters", "Society", "Inquest"]),
    "space": (["Perihelion", "Ember", "Cobalt", "Far", "Silent"], ["Station", "Orbit", "Signal", "Convoy"]),
    "kitchen": (["Saffron", "Copper", "Sunday", "Market", "Juniper"], ["Table", "Pantry", "Kettle", "Suppers"]),
    "sea": (["Salt", "Northern", "Drift", "Pilot's", "Tidal"], ["Almanac", "Passage", "Log", "Reckoning"]),
    "fantasy": (["Thorn", "Glass", "Raven", "Ashen", "Winter"], ["Throneless", "Covenant", "Gate", "Wardens"]),
    "garden": (["Moss", "Orchard", "Clay", "Bramble", "Meadow"], ["Year", "Notebook", "Path", "Keepers"]),
    "music": (["Velvet", "Brass", "Attic", "Second", "Low"], ["Sessions", "Quartet", "Refrain", "Tempo"]),
    "history": (["Paper", "Iron", "Caravan", "Marble", "River"], ["Republics", "Roads", "Envoys", "Chronicle"]),
}
GENRES = list(WORDS)
NUM_ITEMS = PARTS * sum(len(firsts) * len(seconds) for firsts, seconds in WORDS.values())
NUM_USERS = 3000

LOG_CONFIG = SyntheticLogConfig(
    num_users=NUM_USERS,
    num_items=NUM_ITEMS,
    num_genres=len(GENRES),
    series_length=PARTS,
    min_length=13,
    max_length=120,
    next_part=0.65,
    own_genre=0.85,
    drift=0.03,
    memory=120,
    seed=7,
)

# Every history leaves something open that a person can judge, such as the next part of a series. In the generated log
# it is the series of the last item that continues; another open series counts no more than its genre.
DEMO_USERS: dict[str, str] = {
    "ada": "in the middle of two mystery series at once",
    "ben": "space, one series after the other, now in the third",
    "chloe": "alternates between kitchen and garden",
    "dev": "a new user with a single history book",
    "emil": "music for a long time, lately only the sea",
    "farah": "finishes every series: two fantasy series to the end, a third up to its last part",
    "gus": "tries the first part of everything and never continues",
}

HANDWRITTEN_START_MS = 1_743_530_400_000  # 2025-04-01 18:00 UTC, followed by one event per day
DAY_MS = 24 * 3600 * 1000


def make_demo_items() -> pl.DataFrame:
    """Build `item_id`, `title`, `categories`, in the order of the generator's item numbers."""
    names = {genre: [(a, b) for a in firsts for b in seconds] for genre, (firsts, seconds) in WORDS.items()}
    rows = []
    for series in range(NUM_ITEMS // PARTS):
        genre = GENRES[series % len(GENRES)]  # as in SyntheticLogConfig.find_genre
        first, second = names[genre][series // len(GENRES)]
        slug = f"{first}-{second}".lower().replace("'", "")
        rows += [(f"{slug}-{part}", f"The {first} {second} {part}", [genre]) for part in range(1, PARTS + 1)]
    schema = pl.Schema({"item_id": pl.String(), "title": pl.String(), "categories": pl.List(pl.String)})
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_demo_log(*, seed: int = LOG_CONFIG.seed) -> pl.DataFrame:
    """Build `user_id`, `item_id`, `timestamp` (ms): contiguous users, oldest event first, no repeated items.

    The users of DEMO_USERS come last and are the same for every seed.
    """
    numbered = pl.concat(generate_log(dataclasses.replace(LOG_CONFIG, seed=seed)))
    positions = numbered["item_id"].str.strip_prefix("i").cast(pl.Int64)
    named = numbered.with_columns(item_id=make_demo_items()["item_id"].gather(positions))
    handwritten_rows = [
        (user, item, HANDWRITTEN_START_MS + DAY_MS * day)
        for user, items in make_demo_histories().items()
        for day, item in enumerate(items)
    ]
    handwritten = pl.DataFrame(handwritten_rows, schema=named.schema, orient="row")
    # The memory covers whole histories here, but after MAX_REDRAWS the generator accepts a repeated item.
    return pl.concat([named, handwritten]).unique(["user_id", "item_id"], keep="first", maintain_order=True)


def write_demo(folder: Path) -> tuple[Path, Path]:
    """Write the demo log and items as files, to try the commands on."""
    folder.mkdir(parents=True, exist_ok=True)
    log, items = folder / "interactions.parquet", folder / "items.parquet"
    make_demo_log().write_parquet(log)
    make_demo_items().write_parquet(items)
    return log, items


def make_demo_histories() -> dict[str, list[str]]:
    """Item ids of every user of DEMO_USERS, oldest first, without repeats."""
    return {
        "ada": [
            *_list_parts("willow-inquest", 1, 5),
            "quarry-society-1",
            *_interleave(_list_parts("lantern-coast", 1, 2), _list_parts("harbour-letters", 1, 2)),
        ],
        "ben": [
            *_list_parts("ember-station", 1, 5),
            *_list_parts("cobalt-signal", 1, 5),
            *_list_parts("silent-convoy", 1, 3),
        ],
        "chloe": [
            *_interleave(_list_parts("saffron-table", 1, 5), _list_parts("moss-year", 1, 5)),
            *_interleave(_list_parts("copper-kettle", 1, 2), _list_parts("orchard-notebook", 1, 2)),
        ],
        "dev": ["caravan-envoys-1"],
        "emil": [
            *_list_parts("velvet-sessions", 1, 5),
            *_list_parts("brass-quartet", 1, 4),
            *_list_parts("salt-almanac", 1, 5),
            *_list_parts("pilots-log", 1, 3),
        ],
        "farah": [
            *_list_parts("thorn-covenant", 1, 5),
            *_list_parts("winter-wardens", 1, 5),
            *_list_parts("glass-throneless", 1, 4),
        ],
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


def _list_parts(series: str, first: int, last: int) -> list[str]:
    return [f"{series}-{part}" for part in range(first, last + 1)]


def _interleave(first: list[str], second: list[str]) -> list[str]:
    return [item for pair in zip(first, second, strict=True) for item in pair]
