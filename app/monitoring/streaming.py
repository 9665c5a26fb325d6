"""Row "Consumers": events that `nextup consume` reads from streams. Zero without a consumer."""

from app.monitoring import limits
from app.monitoring.panels import Panel, Row, Series
from app.monitoring.promql import or_zero, rate

LAG = "sum(nextup_consumer_lag_messages >= 0)"
"""Without consumers whose lag is not known yet, which is NaN."""
OLDEST_AGE = "max(nextup_consumer_oldest_message_age_seconds)"

CONSUMERS = Row(
    "Consumers",
    (
        Panel(
            "Messages",
            "Messages per second that consumers acknowledged to their source, by result.",
            "cps",
            (Series(or_zero(rate("nextup_consumer_messages_total", "result")), "{{result}}"),),
        ),
        Panel(
            "Lag",
            "Messages of the source that are not acknowledged yet. Steady growth: add consumers or a faster store.",
            "short",
            (Series(or_zero(LAG), "lag"),),
        ),
        Panel(
            "Age of the oldest message in hand",
            "0 while there is none. It grows while the store rejects events.",
            "s",
            (Series(or_zero(OLDEST_AGE), "age"),),
            bad_above=limits.MESSAGE_AGE_S,
            alert="NextupConsumerStalled",
        ),
        Panel(
            "Failed steps",
            "Steps per second that failed and are repeated, by step, and dead letters that were dropped.",
            "cps",
            (
                Series(or_zero(rate("nextup_consumer_errors_total", "operation")), "{{operation}}"),
                Series(or_zero(rate("nextup_consumer_dead_letters_dropped_bytes_total")), "dropped bytes"),
            ),
        ),
    ),
)
