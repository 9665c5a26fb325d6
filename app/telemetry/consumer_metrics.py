"""Metrics of `nextup consume`, which it serves at its own address."""

from prometheus_client import Counter, Gauge

MESSAGES = Counter(
    "nextup_consumer_messages",
    "Messages that were acknowledged to the source: processed (see nextup_events_total), or put aside as dead letters.",
    ["result"],
)
LAG = Gauge("nextup_consumer_lag_messages", "Messages of the source that are not acknowledged yet.")
OLDEST_AGE = Gauge(
    "nextup_consumer_oldest_message_age_seconds",
    "Age of the oldest message that is being stored; 0 while there is none.",
)
ERRORS = Counter("nextup_consumer_errors", "Steps that failed and are repeated with backoff.", ["operation"])
DEAD_LETTERS_DROPPED = Counter(
    "nextup_consumer_dead_letters_dropped_bytes", "Bytes of dead letters that were removed to keep the file small."
)

for _result in ("processed", "dead_letter"):
    MESSAGES.labels(_result)
for _operation in ("read", "store", "dead_letter", "acknowledge", "lag"):
    ERRORS.labels(_operation)
