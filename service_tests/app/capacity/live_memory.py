"""Print the bytes that the live catalogue takes in a process of its own: `python -m … ITEMS ATTRIBUTES`."""

import gc
import os
import sys

from app.bench.resources import read_resident
from app.inference.live.items import LiveItems, LiveRow
from app.inference.live.version_view import VersionView
from app.live_catalogue.follower import STEP_CHANGES
from models.benchmarks.synthetic_artifact import make_log_config, make_synthetic_catalogue


def main() -> None:
    items, attributes = map(int, sys.argv[1:])
    catalogue = make_synthetic_catalogue(make_log_config(items))
    live = LiveItems()
    view = VersionView(live, catalogue)
    fill(live, 0, 1, attributes)  # what the first row takes does not depend on their number
    before = read_own()
    for start in range(0, items, STEP_CHANGES):
        fill(live, start, min(items, start + STEP_CHANGES), attributes)
    print(read_own() - before, view.num_items)


def fill(live: LiveItems, start: int, stop: int, attributes: int) -> None:
    live.apply(
        {
            f"i{item}": LiveRow(attributes={f"a{n}": float(item + n) for n in range(attributes)}, is_listed=True)
            for item in range(start, stop)
        }
    )


def read_own() -> int:
    gc.collect()
    resident = read_resident(os.getpid())
    assert resident is not None
    return resident.own


if __name__ == "__main__":
    main()
