"""The demo: a made-up catalogue whose names let a person judge an answer, and users who had some of it.

Every title is put together from a list of words; after parts 1 and 2 of a series a good answer has part 3, and then
things of the same genre. The log follows the law of synthetic_law.py, and a few users, in demo_users.py, are
written by hand. It knows nothing of training and of the service.
"""

import dataclasses
from pathlib import Path

import polars as pl

from models.data.demo_users import DEMO_USERS, demo_histories
from models.data.synthetic import SyntheticLogConfig, generate_log

__all__ = ["DEMO_USERS", "LAW", "make_demo_items", "make_demo_log", "write_demo"]

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

LAW = SyntheticLogConfig(
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

BY_HAND_FROM_MS = 1_775_066_400_000  # 2026-04-01 18:00 UTC, and from then on one event a day
DAY_MS = 24 * 3600 * 1000


def make_demo_items() -> pl.DataFrame:
    """`item_id`, `title`, `categories`, in the order in which the law counts items."""
    names = {genre: [(a, b) for a in firsts for b in seconds] for genre, (firsts, seconds) in WORDS.items()}
    rows = []
    for series in range(NUM_ITEMS // PARTS):
        genre = GENRES[series % len(GENRES)]  # as SyntheticLogConfig.genre
        first, second = names[genre][series // len(GENRES)]
        slug = f"{first}-{second}".lower().replace("'", "")
        rows += [(f"{slug}-{part}", f"The {first} {second} {part}", [genre]) for part in range(1, PARTS + 1)]
    schema = pl.Schema({"item_id": pl.String(), "title": pl.String(), "categories": pl.List(pl.String)})
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_demo_log(*, seed: int = LAW.seed) -> pl.DataFrame:
    """`user_id`, `item_id`, `timestamp` (ms), each user's events together, oldest first; nobody has an item twice.

    The users of DEMO_USERS come last and are the same for every seed.
    """
    numbered = pl.concat(generate_log(dataclasses.replace(LAW, seed=seed)))
    places = numbered["item_id"].str.strip_prefix("i").cast(pl.Int64)
    named = numbered.with_columns(item_id=make_demo_items()["item_id"].gather(places))
    by_hand = [
        (user, item, BY_HAND_FROM_MS + DAY_MS * day)
        for user, items in demo_histories().items()
        for day, item in enumerate(items)
    ]
    written = pl.DataFrame(by_hand, schema=named.schema, orient="row")
    # The law forgets nobody's past here, but after REDRAWS it takes what comes.
    return pl.concat([named, written]).unique(["user_id", "item_id"], keep="first", maintain_order=True)


def write_demo(folder: Path) -> tuple[Path, Path]:
    """The demo as files, log and items, for who wants to run the commands on something."""
    folder.mkdir(parents=True, exist_ok=True)
    log, items = folder / "interactions.parquet", folder / "items.parquet"
    make_demo_log().write_parquet(log)
    make_demo_items().write_parquet(items)
    return log, items
