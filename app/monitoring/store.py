"""Redis and the events that go into it."""

from app.monitoring.memory import USERS
from app.monitoring.panels import Dashboard, Panel, Query, Row
from app.monitoring.promql import QUANTILES, or_zero, quantile, rate

STORE = Row(
    "Store",
    (
        Panel(
            "Answers",
            "1 while Redis answers. Without it, recommendations are by popularity and events are refused.",
            "short",
            (Query("min(nextup_store_up)", "up"),),
            kind="stat",
            width=4,
            bad_below=1,
        ),
        Panel("Users", "Keys by two.", "short", (Query(USERS, "users"),), kind="stat", width=4),
        Panel(
            "Operations",
            "Per second, by kind. One `recent` reads histories for many requests at once.",
            "ops",
            (Query(rate("nextup_store_duration_seconds_count", "operation"), "{{operation}}"),),
        ),
        Panel(
            "Errors",
            "Operations that failed per second, by kind.",
            "ops",
            (Query(or_zero(rate("nextup_store_errors_total", "operation")), "{{operation}}"),),
        ),
        *(
            Panel(
                name,
                "Of the time of an operation, the wait for a connection included.",
                "s",
                (Query(quantile(share, "nextup_store_duration_seconds", "operation"), "{{operation}}"),),
            )
            for share, name in QUANTILES.items()
        ),
    ),
)

EVENTS = Row(
    "Events",
    (
        Panel(
            "Events",
            "Per second, by what became of them. Duplicates are retries; late ones are older than all that is kept.",
            "cps",
            (Query(rate("nextup_events_total", "result"), "{{result}}"),),
            width=12,
        ),
        Panel(
            "Until they are seen",
            "From receiving events until the next recommendation takes them into account.",
            "s",
            tuple(Query(quantile(share, "nextup_event_visible_seconds"), name) for share, name in QUANTILES.items()),
            width=12,
        ),
    ),
)

STORE_AND_EVENTS = Dashboard("store", "Store and events", (STORE, EVENTS))
