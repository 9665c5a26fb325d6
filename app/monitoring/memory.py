"""What memory is used for: the model by part, the device, the process, Redis, and Redis with a million users."""

from app.monitoring import limits
from app.monitoring.panels import Dashboard, Panel, Query, Row

ITEM_VECTORS = 'sum(nextup_model_bytes{part=~"embedding|head"})'
USERS = "(sum(nextup_store_keys) / 2)"
"""A user has two keys, and a third once events were trimmed."""
OF_HISTORIES = "(sum(nextup_store_memory_bytes) - sum(nextup_store_startup_memory_bytes))"
PER_USER = f"{OF_HISTORIES} / ({USERS} > 0)"
MILLION = 1_000_000
ABOUT_USERS = (
    "Redis without what it took when it was empty, by users; users are counted as keys by two, so trimmed histories "
    "make it look smaller. With fewer than some thousand users, buffers of Redis count more than histories."
)

MODEL = Row(
    "Model",
    (
        Panel(
            "By part",
            "Of one process. Workspace is what a batch needs while it runs.",
            "bytes",
            (Query("sum by (part) (nextup_model_bytes)", "{{part}}"),),
            kind="bargauge",
        ),
        Panel(
            "Item vectors, and uncompressed",
            "What items take in and out of the model, and what full vectors of the same width would take.",
            "bytes",
            (Query(ITEM_VECTORS, "as they are"), Query("sum(nextup_model_uncompressed_bytes)", "uncompressed")),
            kind="bargauge",
        ),
        Panel(
            "Saved",
            "By the compression of item vectors. 0 for a full table.",
            "percentunit",
            (Query(f"clamp_min(1 - {ITEM_VECTORS} / sum(nextup_model_uncompressed_bytes), 0)", "saved"),),
            kind="stat",
        ),
    ),
)

PROCESS = Row(
    "Process and device",
    (
        Panel(
            "Process",
            "Resident memory of all workers, and what they may use: the limit of the container, else the machine.",
            "bytes",
            (
                Query('sum(process_resident_memory_bytes{job="nextup"})', "resident"),
                Query("sum(nextup_memory_limit_bytes)", "limit"),
            ),
        ),
        Panel(
            "Share of the limit",
            "Near 1 the process is ended by the kernel.",
            "percentunit",
            (
                Query('sum(process_resident_memory_bytes{job="nextup"}) / sum(nextup_memory_limit_bytes)', "process"),
                Query(
                    "sum(nextup_store_memory_bytes) / (sum(nextup_store_memory_limit_bytes) > 0) or vector(0)", "Redis"
                ),
            ),
            bad_above=limits.MEMORY_SHARE,
        ),
        Panel(
            "Device",
            "Memory of the accelerator by kind. Empty on a CPU.",
            "bytes",
            (Query("sum by (device, kind) (nextup_device_memory_bytes)", "{{device}} {{kind}}"),),
        ),
    ),
)

REDIS = Row(
    "Redis",
    (
        Panel(
            "Memory",
            "Used, and its maxmemory. 0: it has none.",
            "bytes",
            (
                Query("sum(nextup_store_memory_bytes)", "used"),
                Query("sum(nextup_store_memory_limit_bytes)", "maxmemory"),
            ),
        ),
        Panel("Per user", ABOUT_USERS, "bytes", (Query(PER_USER, "per user"),)),
        Panel(
            "A million users",
            "What Redis would take for a million users like those it has: a straight line. " + ABOUT_USERS,
            "bytes",
            (Query(f"{PER_USER} * {MILLION} + sum(nextup_store_startup_memory_bytes)", "a million users"),),
            kind="stat",
        ),
    ),
)

MEMORY = Dashboard("memory", "Memory", (MODEL, PROCESS, REDIS))
