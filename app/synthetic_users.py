"""Ids of users that load generators send: their feedback is not that of people, and is not counted."""

TRAFFIC_PREFIX = "traffic-"
"""Of the users of `nextup bench traffic` and `bench overload`."""
SOAK_PREFIX = "soak-"
"""Of the users of `nextup bench soak`."""
PREFIXES = (TRAFFIC_PREFIX, SOAK_PREFIX)


def is_synthetic(user_id: str) -> bool:
    """Whether a load generator sent this user id."""
    return user_id.startswith(PREFIXES)
