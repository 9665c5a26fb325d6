"""Dashboard "Latency by stage": time spent in a recommendation."""

from app.monitoring.panels import Dashboard, Panel, Row, Series, make_quantile_panels
from app.monitoring.promql import QUANTILES, mean, quantile, rate


def _make_quantile_panel(title: str, description: str, unit: str, histogram: str) -> Panel:
    return Panel(
        title,
        description,
        unit,
        tuple(Series(quantile(fraction, histogram), name) for fraction, name in QUANTILES.items()),
        width=8,
    )


STAGES = Row(
    "Stages",
    (
        Panel(
            "Mean by stage",
            "Read the history, wait for a batch, encode it, score the catalogue, write the response. Stacked: the "
            "height is the mean time inside a recommendation.",
            "s",
            (Series(mean("nextup_stage_duration_seconds", "stage"), "{{stage}}"),),
            width=24,
            stacked=True,
        ),
        *make_quantile_panels(
            "Stage duration. Percentiles of the stages do not add up to the percentile of the request.",
            "nextup_stage_duration_seconds",
            "stage",
        ),
    ),
)

BATCHES = Row(
    "Batches",
    (
        _make_quantile_panel("Wait", "Time that queries waited for their batch.", "s", "nextup_queue_wait_seconds"),
        _make_quantile_panel(
            "Size",
            "Queries per model run. Grows with the load on its own.",
            "short",
            "nextup_batch_size",
        ),
        Panel(
            "Padding",
            "Mean share of a batch that is padding: wasted compute in models that need it.",
            "percentunit",
            (Series(mean("nextup_batch_padding_ratio"), "padding"),),
        ),
    ),
)

TRACES = Row(
    "Traces",
    (
        Panel(
            "Spans",
            "Spans per second by outcome: exported, dropped because the buffer was full, or failed at the collector. "
            "Empty without NEXTUP_OTLP_ENDPOINT.",
            "ops",
            (Series(rate("nextup_spans_total", "result"), "{{result}}"),),
        ),
    ),
)

LATENCY = Dashboard("latency", "Latency by stage", (STAGES, BATCHES, TRACES))
