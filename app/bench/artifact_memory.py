"""Load time and memory of one artifact in a separate process, loaded as a worker loads it.

    python -m app.bench.artifact_memory ARTIFACT

Prints one JSON line. The process is separate because freed memory is not always returned to the system. `used` is
measured after some hundred batches and after every page of the artifact has been read, as after a day of requests.
"""

import gc
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import app.main
import app.model_server.local_model  # noqa: F401
from app.bench.resources import read_memory, read_resident
from app.inference.query import Query
from app.inference.servable import Servable, open_servable

MAX_BATCH = 32
BATCHES, LENGTH, K = 150, 100, 10
MAX_RUN_S = 10.0
PAGE_BYTES = 4096


def main() -> None:
    gc.collect()
    before, base = read_memory(os.getpid()), read_resident(os.getpid())
    started_at = time.perf_counter()
    load = partial(open_servable, Path(sys.argv[1]), device="cpu", threads=1, max_batch=MAX_BATCH)
    with ThreadPoolExecutor(1) as thread:  # the service loads in a thread too, and malloc retains memory per thread
        servable = thread.submit(load).result()
    seconds = time.perf_counter() - started_at
    gc.collect()
    loaded = read_memory(os.getpid())
    run_batches(servable)
    touch_pages(servable)
    gc.collect()
    used = read_resident(os.getpid())
    measurements = {"before": before, "base": base, "loaded": loaded, "used": used}
    print(
        json.dumps(
            {
                **{name: asdict(memory) if memory else None for name, memory in measurements.items()},
                "load_s": seconds,
                "by_part": servable.bytes_by_part(),
            }
        )
    )


def run_batches(servable: Servable) -> None:
    """Run batches of all sizes with histories over the whole catalogue, for at most MAX_RUN_S."""
    rng = np.random.default_rng(0)
    keys = servable.catalogue.keys.keys
    deadline = time.monotonic() + MAX_RUN_S
    for size in rng.integers(1, MAX_BATCH + 1, BATCHES).tolist():
        servable.run_batch([Query(keys[rng.integers(0, len(keys), LENGTH)], K) for _ in range(size)])
        if time.monotonic() > deadline:
            return


def touch_pages(servable: Servable) -> None:
    """Read one byte of every page of weights and catalogue, so that all mapped pages are resident."""
    catalogue = servable.catalogue
    strings = (catalogue.item_ids, catalogue.title_strings)
    arrays: list[NDArray[Any]] = [catalogue.counts, catalogue.untitled, catalogue.keys.keys, catalogue.keys.indices]
    indexes = (catalogue.categories, catalogue.attributes.index)
    arrays += [array for index in indexes for array in (index.numbers, index.ends)] + [each.text for each in strings]
    arrays += [array.ends for array in strings]
    arrays += [tensor.numpy() for tensor in servable.artifact.predictor.model.state_dict().values()]
    for array in arrays:
        if array.size:
            np.ascontiguousarray(array).reshape(-1).view(np.uint8)[::PAGE_BYTES].max()


if __name__ == "__main__":
    main()
