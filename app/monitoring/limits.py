"""From where on an alert fires, and a tile is red: one number for both."""

ERROR_SHARE = 0.05
"""Of all requests, answered 5xx."""
SLOW_S = 0.5
"""99th percentile of /recommend: half of the deadline that requests have if nobody says otherwise."""
SHED_SHARE = 0.01
"""Of the model's queries, refused for want of room or time."""
FALLBACK_SHARE = 0.1
"""Of recommendations, by popularity although the user has a history."""
STALLED_S = 30
"""Since the model last finished a batch, while queries are turned away or wait."""
MEMORY_SHARE = 0.9
"""Of what the process, or Redis, may use."""
