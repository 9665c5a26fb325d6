"""Dashboard "Memory": model by part, process, accelerator and Redis, with a projection to a million users."""

from app.monitoring import limits
from app.monitoring.panels import Dashboard, Panel, Row, Series

ITEM_VECTORS = 'sum(nextup_model_bytes{part=~"embedding|head"})'
USERS = "sum(nextup_store_users)"
HISTORY_BYTES = "(sum(nextup_store_memory_bytes) - sum(nextup_store_startup_memory_bytes))"
BYTES_PER_USER = f"{HISTORY_BYTES} / ({USERS} > 0)"
RESIDENT = "(process_resident_memory_bytes and on (job, instance) nextup_memory_limit_bytes)"
"""Without other processes that the same Prometheus scrapes."""
MILLION = 1_000_000
PER_USER_NOTE = (
    "Redis memory above its empty size, divided by users, who are estimated from a sample of the keys. "
    "Below a few thousand users, Redis buffers outweigh the histories."
)

MODEL = Row(
    "Model",
    (
        Panel(
            "By part",
            "Per process. Workspace is the memory that a batch needs while it runs.",
            "bytes",
            (Series("sum by (part) (nextup_model_bytes)", "{{part}}"),),
            kind="bargauge",
        ),
        Panel(
            "Item vectors, and uncompressed",
            "Memory of the item vectors at the input and output of the model, and of full vectors of the same width.",
            "bytes",
            (
                Series(ITEM_VECTORS, "compressed"),
                Series("sum(nextup_model_uncompressed_bytes)", "uncompressed"),
            ),
            kind="bargauge",
        ),
        Panel(
            "Saved",
            "Memory saved by compressing item vectors. 0 for a full table.",
            "percentunit",
            (Series(f"clamp_min(1 - {ITEM_VECTORS} / sum(nextup_model_uncompressed_bytes), 0)", "saved"),),
            kind="stat",
        ),
    ),
)

PROCESS = Row(
    "Process and device",
    (
        Panel(
            "Process",
            "Resident memory of all workers, and its limit: that of the container, else of the machine.",
            "bytes",
            (
                Series(f"sum({RESIDENT})", "resident"),
                Series("sum(nextup_memory_limit_bytes)", "limit"),
            ),
        ),
        Panel(
            "Share of the limit",
            "Near 1 the kernel OOM-kills the process.",
            "percentunit",
            (
                Series(f"sum({RESIDENT}) / sum(nextup_memory_limit_bytes)", "process"),
                Series(
                    "sum(nextup_store_memory_bytes) / (sum(nextup_store_memory_limit_bytes) > 0) or vector(0)", "Redis"
                ),
            ),
            bad_above=limits.MEMORY_SHARE,
            alert="NextupMemoryNearLimit",
        ),
        Panel(
            "Device",
            "Accelerator memory by kind. Empty on a CPU.",
            "bytes",
            (Series("sum by (device, kind) (nextup_device_memory_bytes)", "{{device}} {{kind}}"),),
        ),
    ),
)

REDIS = Row(
    "Redis",
    (
        Panel(
            "Memory",
            "Used memory and maxmemory. 0 means no maxmemory is set.",
            "bytes",
            (
                Series("sum(nextup_store_memory_bytes)", "used"),
                Series("sum(nextup_store_memory_limit_bytes)", "maxmemory"),
            ),
        ),
        Panel("Per user", PER_USER_NOTE, "bytes", (Series(BYTES_PER_USER, "per user"),)),
        Panel(
            "A million users",
            "Projected Redis memory for a million users like the current ones (linear). " + PER_USER_NOTE,
            "bytes",
            (Series(f"{BYTES_PER_USER} * {MILLION} + sum(nextup_store_startup_memory_bytes)", "a million users"),),
            kind="stat",
        ),
    ),
)

MEMORY = Dashboard("memory", "Memory", (MODEL, PROCESS, REDIS))
