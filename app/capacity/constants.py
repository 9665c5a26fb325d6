"""Measured constants of the capacity estimate, each with its origin.

Everything else in this package follows from the shapes of a model and the format of a history. The constants hold for
Linux with glibc, Python 3.11 and torch 2.13 for CPUs; other machines differ, and `nextup bench memory` prints measured
values next to estimated ones. CPU times are those of one AMD EPYC core (Zen 5, AVX-512 with VNNI).
"""

MB = 1_000_000

BASE_OWN, BASE_MAPPED = 193 * MB, 93 * MB
"""A process that has imported the service and nothing else; used only where it cannot be measured.
Origin: `nextup plan` on Linux, which measures it each time."""

SERVICE_OWN = 10 * MB
"""Private memory of a worker in addition to imports and model: event loop, connections, metrics.
Origin: `nextup serve` on 10,000 items, `blossom`, ready and after 4 s of requests, minus `bench memory`'s process."""

MODEL_OWN, MODEL_MAPPED = 5 * MB, 24 * MB
"""Memory that torch allocates when a model first runs: packed weights, buffers, and library pages not read before.
Origin: `nextup bench memory`, 1,000 items, loaded minus before; `blossom` maps 20 and `sasrec` 23 MB."""

HEAP_MIN, HEAP_SCORES, HEAP_MAX = 3 * MB, 4, 20 * MB
"""Freed memory that glibc retains after trimming: minimum; multiple of all scores of a batch; maximum.
Origin: `nextup bench memory`, both presets, total minus all other parts: 2 and 3 MB at 10,000 items, 12 to 17 from
100,000 items. It varies by 20 MB between processes."""

INDEX_HEAP = 25 * MB
"""Additional retained heap with an IVF-PQ index. Origin: `nextup bench memory`, a million items, 43 MB, and
`nextup bench scaling`, three workers at one and ten million items, 25 MB each."""

SUPERVISOR_OWN = 40 * MB
"""The supervisor, whose libraries are shared with workers. Origin: `nextup serve --workers 2` and 4."""

ARCHIVER_MAPPED = 28 * MB
"""Library pages that the archiver reads when it writes Parquet files, in one process of the service.
Origin: service_tests/app/capacity/test_service_memory.py, measured minus planned mapped memory, 24 to 30 MB."""

PARQUET_RATIO = 0.55
"""Bytes of catalogue.parquet per byte of id and title, for unordered numeric ids; titles were not measured.
Origin: `nextup bench memory`, 1,000 to 10 million items, 0.53 to 0.57."""
PARQUET_MIN_BYTES = 2_000
PARQUET_FEATURE_BYTES = 1.7
"""Bytes of catalogue.parquet per attribute of an item, each stored as a number in a few bits: 0.3 with two distinct
values, 2.7 with a hundred, 3.2 with a thousand. Origin: service_tests/app/capacity/test_attributes.py, their mean."""

REDIS_STARTUP = 900_000
"""`used_memory_startup`. Origin: Redis 6.2 and 7.0."""
REDIS_RUNNING = {"server": 231_000, "embedded": 20_000}
"""Scripts and buffers, independent of the data. Origin: `nextup bench memory`, 1,000 users with 10 to 1,000 events,
Redis 7.0 with jemalloc and 6.2 with glibc, minus the histories."""

FRONT_S = 95e-6
"""CPU seconds of a /recommend request without the model: HTTP, Redis, JSON, batching.
Origin: `nextup bench serve`, 1 worker, 128 µs per request (docs/benchmarks/serve.md), minus encoding and scan."""
ENCODE_S = {"blossom": (11e-6, 0.12e-6), "sasrec": (6e-6, 0.77e-6)}
"""CPU seconds per history of n events, (a, b) of a + b · n, native code, batches of 32.
Origin: `nextup bench encode`, histories of 50 and 200 (docs/benchmarks/encode.md)."""
SCAN_S = {"codes": ((2.1e-9, 0.22e-9), (17.3e-9, 0.71e-9)), "full": ((7.2e-9, 0.75e-9), (21.6e-9, 3.4e-9))}
"""CPU seconds per item, (per batch, per history in it), with the scorer's additional tables (blocks of codes, an int8
table) and without them. Origin: `nextup bench score`, a million items, batches of 1 and 32 (docs/benchmarks/score.md);
blocks of codes at ten million items, 23 and 92 ms, from `GET /models` of the scaling benchmark's artifact."""
PROBED_SHARE = 0.0625
"""Fraction of items that an IVF-PQ index reads. Origin: `nextup bench scaling`, 256 of 4,096 lists at a million items
and 768 of 16,384 at ten million, synthetic; for trained tables it falls with the root of their size (models/LOG.md)."""
IVF_PQ_S = (1.7e-9, 1.5e-9)
"""CPU seconds per item read by an IVF-PQ index, (per batch, per history in it). Origin: `timings_ms` in `GET /models`
of those two artifacts, minimum of several loads: 0.19 and 1.5 ms for one history, 2.8 and 23 ms for 32."""
IVF_S = (110e-6, 46e-6)
"""CPU seconds in total, (per batch, per history in it), of an IVF index with int8 vectors.
Origin: `nextup bench score --approximate`, a million items."""
BATCH = 32
TARGET_UTILIZATION = 0.5
"""Fraction of a core that a worker may use, which leaves headroom for bursts. A choice, not a measurement."""
