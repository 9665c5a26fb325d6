"""Metrics of the live catalogue."""

from prometheus_client import Counter, Gauge

UNAVAILABLE_ITEMS = Gauge(
    "nextup_catalogue_unavailable_items",
    "Items that the live catalogue says are unavailable.",
    multiprocess_mode="livemax",
)
CATALOGUE_READ_AT = Gauge(
    "nextup_catalogue_read_timestamp_seconds",
    "Time at which the process that is most behind last read the live catalogue to its end; 0 = never.",
    multiprocess_mode="livemin",
)
CATALOGUE_BYTES = Gauge(
    "nextup_catalogue_bytes",
    "Memory of the live catalogue's columns, and of their mapping to each version in memory, per process.",
    multiprocess_mode="livemax",
)
ITEM_CHANGES = Counter("nextup_item_changes", "Items sent to the live catalogue by outcome.", ["result"])
for _result in ("created", "updated", "unchanged", "invalid", "failed", "removed", "absent"):
    ITEM_CHANGES.labels(_result)  # a rate needs the zero before the first change
