"""Metrics of explanations, which the process with the model computes."""

from prometheus_client import Counter, Histogram

EXPLANATIONS = Counter(
    "nextup_explanations",
    "Answers of the model to requests with explain: removal, or unsupported by the model.",
    ["result"],
)
EXPLANATION_SECONDS = Histogram(
    "nextup_explanation_seconds",
    "Time of the explanations of one answer.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
)
for _result in ("removal", "unsupported"):
    EXPLANATIONS.labels(_result)  # a rate needs the zero before the first one
