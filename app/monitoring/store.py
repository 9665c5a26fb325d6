"""Dashboard "Store and events": Redis and event ingestion."""

from app.monitoring import limits
from app.monitoring.memory import USERS
from app.monitoring.panels import Dashboard, Panel, Row, Series, make_quantile_panels
from app.monitoring.promql import QUANTILES, or_zero, quantile, rate
from app.monitoring.streaming import CONSUMERS

LOG_AGE = "(time() - min(nextup_event_log_oldest_timestamp_seconds > 0) or vector(0))"
CATALOGUE_AGE = "(time() - min(nextup_catalogue_read_timestamp_seconds) or vector(0))"

STORE = Row(
    "Store",
    (
        Panel(
            "Up",
            "1 while Redis responds. Otherwise recommendations fall back to popularity and events are rejected.",
            "short",
            (Series("min(nextup_store_up)", "up"),),
            kind="stat",
            width=4,
            bad_below=1,
            alert="NextupStoreDown",
        ),
        Panel(
            "Users",
            "Users with a history, estimated from a sample of the keys.",
            "short",
            (Series(USERS, "users"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Operations",
            "Operations per second, by kind. One `recent` reads the histories of many requests in one round trip.",
            "ops",
            (Series(rate("nextup_store_duration_seconds_count", "operation"), "{{operation}}"),),
        ),
        Panel(
            "Errors",
            "Failed operations per second, by kind.",
            "ops",
            (Series(or_zero(rate("nextup_store_errors_total", "operation")), "{{operation}}"),),
        ),
        *make_quantile_panels(
            "Duration of an operation, including the wait for a connection.",
            "nextup_store_duration_seconds",
            "operation",
        ),
    ),
)

EVENTS = Row(
    "Events",
    (
        Panel(
            "Events",
            "Events per second by outcome. Duplicates are retries; late events are older than everything retained.",
            "cps",
            (Series(rate("nextup_events_total", "result"), "{{result}}"),),
            width=12,
        ),
        Panel(
            "Time to visibility",
            "Time from receiving events until the next recommendation takes them into account.",
            "s",
            tuple(
                Series(quantile(fraction, "nextup_event_visible_seconds"), name) for fraction, name in QUANTILES.items()
            ),
            width=12,
        ),
    ),
)

EVENT_LOG = Row(
    "Event log",
    (
        Panel(
            "Not archived",
            "Entries of the event log in Redis. They grow until the next round of the archiver removes them.",
            "short",
            (Series("max(nextup_event_log_entries)", "entries"),),
        ),
        Panel(
            "Age of the oldest entry",
            "Longer than the interval of the archiver if the archive cannot be written.",
            "s",
            (Series(LOG_AGE, "age"),),
            bad_above=limits.LOG_AGE_S,
            alert="NextupEventLogStalled",
        ),
        Panel(
            "Archived events",
            "Events per second that the archiver writes to files, failed rounds, and entries that a full log dropped.",
            "cps",
            (
                Series(rate("nextup_archived_events_total"), "events"),
                Series(or_zero(rate("nextup_archive_rounds_total", matchers='result="failed"')), "failed rounds"),
                Series(or_zero(rate("nextup_event_log_dropped_entries_total")), "dropped entries"),
            ),
        ),
    ),
)

CATALOGUE = Row(
    "Live catalogue",
    (
        Panel(
            "Unavailable items",
            "Items that the live catalogue says are unavailable; no answer contains them.",
            "short",
            (Series("max(nextup_catalogue_unavailable_items)", "items"),),
        ),
        Panel(
            "Age of the live catalogue",
            "Time since the process that is most behind last read the changes: below a second while Redis answers.",
            "s",
            (Series(CATALOGUE_AGE, "age"),),
            bad_above=limits.CATALOGUE_AGE_S,
            alert="NextupCatalogueStale",
        ),
        Panel(
            "Changes of items",
            "Items per second that PUT, PATCH and DELETE /items sent, by outcome.",
            "cps",
            (Series(rate("nextup_item_changes_total", by="result"), "{{result}}"),),
        ),
    ),
)

STORE_AND_EVENTS = Dashboard("store", "Store and events", (STORE, EVENTS, EVENT_LOG, CATALOGUE, CONSUMERS))
