"""Thresholds shared by alerts and dashboards: an alert fires and a tile turns red at the same value."""

ERROR_SHARE = 0.05
"""Share of all requests answered 5xx."""
SLOW_S = 0.5
"""99th percentile of /recommend: half of the default request deadline."""
SHED_SHARE = 0.01
"""Share of the model's queries rejected because the queue was full or the deadline could not be met."""
FALLBACK_SHARE = 0.1
"""Share of recommendations served by popularity although the user has a history."""
STALLED_S = 30
"""Time since the model last finished a batch, while queries wait or are rejected."""
RESTARTS = 3
"""Processes replaced within five minutes."""
MEMORY_SHARE = 0.9
"""Share of the memory limit of the process, or of Redis."""
LOG_AGE_S = 900
"""Age of the oldest entry of the event log that is not archived, with a round every minute, at most every ten."""
CATALOGUE_AGE_S = 60
"""Time since the process that is most behind last read the live catalogue."""
MESSAGE_AGE_S = 120
"""Age of the oldest message that a consumer has read and not stored."""
LOG_SHARE = 0.5
"""Share of the longest stream of the event log of the entries that it may have."""
