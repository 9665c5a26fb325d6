"""Metrics of loading versions and of comparing them with the serving one."""

from prometheus_client import Counter, Gauge, Histogram

MODEL_RELOADS = Counter("nextup_model_reload", "Versions loaded while another was serving, by outcome.", ["result"])
SHADOW_QUERIES = Counter(
    "nextup_shadow_queries", "Queries with which new versions were compared before they served.", ["result"]
)
SHADOW_OVERLAP = Gauge(
    "nextup_shadow_overlap_ratio",
    "Share of items that the last compared version had in common with the serving one.",
    multiprocess_mode="livemostrecent",
)
SHADOW_LATENCY_RATIO = Gauge(
    "nextup_shadow_latency_ratio",
    "Median latency of the last compared version by that of the serving one.",
    multiprocess_mode="livemostrecent",
)
SHADOW_ANSWERS = Counter(
    "nextup_shadow_answers",
    "Requests of the shadow version's share by outcome; dropped: requests were waiting for the serving model.",
    ["result"],
)
SHADOW_ANSWER_OVERLAP = Histogram(
    "nextup_shadow_answer_overlap",
    "Share of the first 10 items of an answer that are also in the shadow version's.",
    buckets=[tenth / 10 for tenth in range(11)],
)
SHADOW_ANSWER_SECONDS = Histogram(
    "nextup_shadow_answer_seconds",
    "Time of the shadow version for one query.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2),
)
SHADOW_SCORE_DIFFERENCE = Histogram(
    "nextup_shadow_score_difference",
    "Mean difference of the scores of items that both versions answer.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 100),
)
RESIDENTS = Gauge(
    "nextup_resident_versions",
    "Versions in memory that answer next to the serving one: of an experiment, and the shadow version.",
    multiprocess_mode="livemax",
)
RESIDENTS_MISSING = Gauge(
    "nextup_resident_versions_missing",
    "Versions of an experiment or shadow versions that a process could not load yet; the serving version answers.",
    multiprocess_mode="livemax",
)
RESIDENT_FAILURES = Counter(
    "nextup_resident_failures", "Queries of an experiment that the serving version answered because the other failed."
)
for _result in ("ok", "rejected", "busy"):
    MODEL_RELOADS.labels(_result)
for _result in ("ok", "error"):
    SHADOW_QUERIES.labels(_result)
for _result in ("ok", "error", "dropped"):
    SHADOW_ANSWERS.labels(_result)
