"""The gauge of API keys in a file; only processes that check keys import this module."""

from prometheus_client import Gauge

API_KEYS_REJECTED = Gauge(
    "nextup_api_keys_file_rejected",
    "1 if NEXTUP_API_KEYS_FILE has changed and cannot be used, so the keys from before are valid.",
    multiprocess_mode="livemax",
)
