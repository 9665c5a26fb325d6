"""What no shape tells: the few constants of a forecast that were measured, each with its origin.

Everything else in this package follows from the shapes of a model and from how a history is written. The constants
hold for Linux with glibc, Python 3.11 and torch 2.13 for CPUs; a machine of another kind has others, and
`nextup bench memory` prints what it measures beside what was planned. CPU times are those of one AMD EPYC core
(Zen 5, AVX-512 with VNNI).
"""

MB = 1_000_000

BASE_OWN, BASE_MAPPED = 193 * MB, 93 * MB
"""Of a process that has imported the service, and nothing else. Used only where it cannot be measured at once.
Origin: `nextup plan` on Linux measures it each time; these are its own figures."""

SERVICE_OWN = 10 * MB
"""Own memory of a worker that is neither imports nor model: event loop, connections, metrics.
Origin: `nextup serve` on 10,000 items, `blossom`, ready and after 4 s of requests, less `bench memory`'s process."""

MODEL_OWN, MODEL_MAPPED = 5 * MB, 24 * MB
"""What torch takes when a model first runs: packed weights and buffers, and pages of its libraries that were not yet
read. Origin: `nextup bench memory`, 1,000 items, loaded less before; `blossom` 20 and `sasrec` 23 MB are mapped."""

HEAP_MIN, HEAP_SCORES, HEAP_MAX = 3 * MB, 4, 20 * MB
"""Memory that was freed and that glibc keeps, after a load has given back what it could: the least; of all scores of a
batch, so many times; and no more than this. Origin: `nextup bench memory`, both presets, what processes use less
everything else here: 2 and 3 MB at 10,000 items, 12 to 17 from 100,000 on. It differs by 20 MB between processes."""

INDEX_HEAP = 25 * MB
"""More of it with lists of codes. Origin: `nextup bench memory`, a million items, 43 MB, and `nextup bench ladder`,
three workers of one and ten million items, 25 MB each."""

SUPERVISOR_OWN = 40 * MB
"""With two workers and more: the process that watches them, and Python's resource tracker. Its libraries are the
workers' too. Origin: `nextup serve --workers 2` and 4."""

PARQUET_SHARE = 0.55
"""Bytes of catalogue.parquet per byte of id and title. Ids are numbers in no order; titles were not measured.
Origin: `nextup bench memory`, 1,000 to 10 million items, 0.53 to 0.57."""
PARQUET_LEAST = 2_000

REDIS_STARTUP = 900_000
"""`used_memory_startup`. Origin: Redis 6.2 and 7.0."""
REDIS_RUNNING = {"server": 231_000, "embedded": 20_000}
"""Scripts and buffers, whatever is stored. Origin: `nextup bench memory`, 1,000 users with 10 to 1,000 events, Redis
7.0 with jemalloc and 6.2 with glibc, less what histories take."""

FRONT_S = 95e-6
"""CPU seconds of a /recommend without the model: HTTP, Redis, JSON, batching.
Origin: `nextup bench serve`, 1 worker, 128 µs per request (docs/benchmarks/serve.md), less encoding and scan."""
ENCODE_S = {"blossom": (11e-6, 0.12e-6), "sasrec": (6e-6, 0.77e-6)}
"""CPU seconds per history of n events, (a, b) of a + b · n, native code, batches of 32.
Origin: `nextup bench encode`, histories of 50 and 200 (DECISIONS.md, decision 16)."""
SCAN_S = {"codes": ((2.1e-9, 0.22e-9), (17.3e-9, 0.71e-9)), "full": ((7.2e-9, 0.75e-9), (21.6e-9, 3.4e-9))}
"""CPU seconds per item, of a batch and of each history in it; first with what a scorer keeps beside the weights (blocks
of codes, an int8 table), then without. Origin: `nextup bench score`, a million items, batches of 1 and 32 (decision
17); blocks of codes at ten million, 23 and 92 ms, as `GET /models` of the ladder's artifact tells from its load."""
READ_SHARE = 0.0625
"""Of the items, by lists of codes. Origin: `nextup bench ladder`, 256 of 4,096 lists at a million items and 768 of
16,384 at ten million, made up; of trained tables it falls with the root of their size (models/LOG.md)."""
LISTS_S = (1.7e-9, 1.5e-9)
"""CPU seconds per item read by lists of codes, of a batch and of each history in it. Origin: `timings_ms` in
`GET /models` of those two artifacts, least of several loads: 0.19 and 1.5 ms for one history, 2.8 and 23 ms for 32."""
INDEX_S = (110e-6, 46e-6)
"""The same in all with inverted lists of bytes. Origin: `nextup bench score --approximate`, a million items."""
BATCH = 32
TARGET_UTILIZATION = 0.5
"""Of a core that a worker may spend, so that a burst finds room. A choice, no measurement."""
