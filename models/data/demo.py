"""The demo: a made-up catalogue whose names let a person judge an answer, and users who had some of it.

Every title is put together from a list of words; after parts 1 and 2 of a series a good answer has part 3, and then
things of the same genre. The log follows the law of `synthetic.py`; a few users are written by hand.
"""

from pathlib import Path

import polars as pl

from models.data.synthetic import SyntheticLaw, generate

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

LAW = SyntheticLaw(
    num_users=NUM_USERS,
    num_items=NUM_ITEMS,
    num_genres=len(GENRES),
    series_length=PARTS,
    min_length=12,
    max_length=120,
    next_part=0.65,
    own_genre=0.85,
    drift=0.03,
    seed=7,
)

DEMO_USERS: dict[str, list[str]] = {
    # in the middle of two mysteries
    "ada": ["lantern-coast-1", "harbour-letters-1", "lantern-coast-2", "harbour-letters-2"],
    # space, and one fantasy begun at the end
    "ben": ["ember-station-1", "ember-station-2", "ember-station-3", "cobalt-signal-1", "glass-covenant-1"],
    # kitchen and garden by turns
    "chloe": ["saffron-table-1", "moss-year-1", "saffron-table-2", "moss-year-2", "copper-kettle-1"],
    # one single event
    "dev": ["iron-roads-1"],
}
DEMO_EVENTS_MS = 1_775_000_000_000  # spring of 2026
MINUTE_MS = 60_000


def demo_items() -> pl.DataFrame:
    """`item_id`, `title`, `categories`, in the order in which the law counts items."""
    names = {genre: [(a, b) for a in firsts for b in seconds] for genre, (firsts, seconds) in WORDS.items()}
    rows = []
    for series in range(NUM_ITEMS // PARTS):
        genre = GENRES[series % len(GENRES)]  # as SyntheticLaw.genre
        first, second = names[genre][series // len(GENRES)]
        slug = f"{first}-{second}".lower().replace("'", "")
        rows += [(f"{slug}-{part}", f"The {first} {second} {part}", [genre]) for part in range(1, PARTS + 1)]
    schema = pl.Schema({"item_id": pl.String(), "title": pl.String(), "categories": pl.List(pl.String)})
    return pl.DataFrame(rows, schema=schema, orient="row")


def demo_log() -> pl.DataFrame:
    """`user_id`, `item_id`, `timestamp` (ms); nobody has an item twice."""
    numbered = pl.concat(generate(LAW))
    names = demo_items()["item_id"]
    places = numbered["item_id"].str.strip_prefix("i").cast(pl.Int64)
    named = numbered.with_columns(item_id=names.gather(places))
    by_hand = [
        (user, item, DEMO_EVENTS_MS + MINUTE_MS * step)
        for user, items in DEMO_USERS.items()
        for step, item in enumerate(items)
    ]
    written = pl.DataFrame(by_hand, schema=named.schema, orient="row")
    return pl.concat([named, written]).unique(["user_id", "item_id"], keep="first", maintain_order=True)


def write_demo(folder: Path) -> tuple[Path, Path]:
    """The demo as files, log and items, for who wants to run the commands on something."""
    folder.mkdir(parents=True, exist_ok=True)
    log, items = folder / "interactions.parquet", folder / "items.parquet"
    demo_log().write_parquet(log)
    demo_items().write_parquet(items)
    return log, items
