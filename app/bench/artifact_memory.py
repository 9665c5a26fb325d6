"""One artifact loaded in a process of its own, as a worker loads it: memory before and after, and the time between.

    python -m app.bench.artifact_memory ARTIFACT

Prints one JSON line. A process of its own, because memory that was freed is not always given back. `used` is what it
takes after some hundred batches and when every page of the artifact has been read, as after a day of requests.
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
LONGEST_S = 10.0
PAGE = 4096


def main() -> None:
    gc.collect()
    before, base = read_memory(os.getpid()), read_resident(os.getpid())
    began = time.perf_counter()
    load = partial(open_servable, Path(sys.argv[1]), device="cpu", threads=1, max_batch=MAX_BATCH)
    with ThreadPoolExecutor(1) as thread:  # where the service loads, and what malloc keeps differs by thread
        servable = thread.submit(load).result()
    seconds = time.perf_counter() - began
    gc.collect()
    loaded = read_memory(os.getpid())
    answer_some(servable)
    read_pages(servable)
    gc.collect()
    used = read_resident(os.getpid())
    said = {"before": before, "base": base, "loaded": loaded, "used": used}
    print(
        json.dumps(
            {
                **{name: asdict(memory) if memory else None for name, memory in said.items()},
                "load_s": seconds,
                "by_part": servable.bytes_by_part(),
            }
        )
    )


def answer_some(servable: Servable) -> None:
    """Batches of all sizes, of histories over the whole catalogue, for a few seconds at most."""
    rng = np.random.default_rng(0)
    keys = servable.catalogue.keys.keys
    end = time.monotonic() + LONGEST_S
    for size in rng.integers(1, MAX_BATCH + 1, BATCHES).tolist():
        servable.run_batch([Query(keys[rng.integers(0, len(keys), LENGTH)], K) for _ in range(size)])
        if time.monotonic() > end:
            return


def read_pages(servable: Servable) -> None:
    """A number of every page of weights and catalogue, so that all that is mapped is there."""
    catalogue = servable.catalogue
    texts = (catalogue.item_ids, catalogue.title_strings)
    arrays: list[NDArray[Any]] = [catalogue.counts, catalogue.untitled, catalogue.keys.keys, catalogue.keys.indices]
    arrays += [catalogue.categories.numbers, catalogue.categories.ends, *(text.text for text in texts)]
    arrays += [text.ends for text in texts]
    arrays += [tensor.numpy() for tensor in servable.artifact.predictor.model.state_dict().values()]
    for array in arrays:
        if array.size:
            np.ascontiguousarray(array).reshape(-1).view(np.uint8)[::PAGE].max()


if __name__ == "__main__":
    main()
