"""One artifact loaded in a process of its own, as a worker loads it: memory before and after, and the time between.

    python -m app.bench.loading ARTIFACT

Prints one JSON line. A process of its own, because memory that was freed is not always given back.
"""

import gc
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import app.main  # noqa: F401 - what the service imports is there before the artifact
from app.bench.resources import memory_of
from app.inference.servable import open_servable

MAX_BATCH = 32


def main() -> None:
    gc.collect()
    before = memory_of(os.getpid())
    began = time.perf_counter()
    servable = open_servable(Path(sys.argv[1]), device="cpu", threads=1, max_batch=MAX_BATCH)
    seconds = time.perf_counter() - began
    gc.collect()
    loaded = memory_of(os.getpid())
    print(
        json.dumps(
            {
                "before": asdict(before) if before else None,
                "loaded": asdict(loaded) if loaded else None,
                "load_s": seconds,
                "by_part": servable.bytes_by_part(),
            }
        )
    )


if __name__ == "__main__":
    main()
