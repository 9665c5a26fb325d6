"""Where the time of a recommendation goes."""

from app.monitoring.panels import Dashboard, Panel, Query, Row
from app.monitoring.promql import QUANTILES, mean, quantile, rate


def _quantiles(title: str, told: str, unit: str, histogram: str, width: int = 8) -> Panel:
    return Panel(
        title,
        told,
        unit,
        tuple(Query(quantile(share, histogram), name) for share, name in QUANTILES.items()),
        width=width,
    )


STAGES = Row(
    "Stages",
    (
        Panel(
            "Mean by stage",
            "Read the history, wait for a batch, encode it, score the catalogue, write the answer. A stack: its "
            "height is the mean time inside a recommendation.",
            "s",
            (Query(mean("nextup_stage_duration_seconds", "stage"), "{{stage}}"),),
            width=24,
            stacked=True,
        ),
        *(
            Panel(
                name,
                "By stage. Percentiles of stages do not add up to that of the whole.",
                "s",
                (Query(quantile(share, "nextup_stage_duration_seconds", "stage"), "{{stage}}"),),
            )
            for share, name in QUANTILES.items()
        ),
    ),
)

BATCHES = Row(
    "Batches",
    (
        _quantiles("Wait", "How long queries waited for their batch.", "s", "nextup_queue_wait_seconds"),
        _quantiles(
            "Size",
            "Queries that share a run of the model. It grows with the load by itself.",
            "short",
            "nextup_batch_size",
        ),
        Panel(
            "Padding",
            "Mean share of a batch that holds no item: work for nothing, where the model needs it.",
            "percentunit",
            (Query(mean("nextup_batch_padding_ratio"), "padding"),),
        ),
    ),
)

TRACES = Row(
    "Traces",
    (
        Panel(
            "Spans",
            "Per second, by what became of them: dropped for want of room, or failed at the collector. None without "
            "NEXTUP_OTLP_ENDPOINT.",
            "ops",
            (Query(rate("nextup_spans_total", "result"), "{{result}}"),),
        ),
    ),
)

LATENCY = Dashboard("latency", "Latency by stage", (STAGES, BATCHES, TRACES))
