"""Dashboard "Model and quality": the serving version, and the share of traffic it serves."""

from app.monitoring import limits
from app.monitoring.feedback import EXPERIMENTS, FEEDBACK
from app.monitoring.new_items import EXPLANATIONS, NEW_ITEMS
from app.monitoring.panels import Dashboard, Panel, Row, Series
from app.monitoring.promql import QUANTILES, or_zero, quantile, rate, ratio

ALL_RECOMMENDATIONS = rate("nextup_recommendations_total")
BY_POPULARITY = 'served_by="popularity"'

MODEL = Row(
    "Model",
    (
        Panel(
            "Serving",
            "Version, preset, device and number format.",
            "short",
            (
                Series(
                    "max by (version, preset, device, dtype) (nextup_model_info) > 0",
                    "{{version}} {{preset}} {{device}} {{dtype}}",
                ),
            ),
            kind="stat",
            width=12,
            legend_only=True,
        ),
        Panel(
            "Last batch",
            "Time since the model last finished a batch. Grows while there is no traffic.",
            "s",
            (Series("time() - max(nextup_last_batch_timestamp_seconds)", "ago"),),
            kind="stat",
            width=4,
            alert="NextupModelStalled",
        ),
        Panel(
            "By the model",
            "Share of all recommendations that the model served.",
            "percentunit",
            (
                Series(
                    ratio(rate("nextup_recommendations_total", matchers='served_by="model"'), ALL_RECOMMENDATIONS),
                    "model",
                ),
            ),
            kind="stat",
            width=4,
        ),
        Panel(
            "Index recall",
            "recall@10 of approximate search against the exact scan, measured when the index was built; 1 without an "
            "index.",
            "percentunit",
            (Series("min(nextup_index_recall)", "recall"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Versions",
            "1 for the serving version: a change of line is a model swap.",
            "short",
            (Series("max by (version) (nextup_model_info)", "{{version}}"),),
            width=6,
        ),
        Panel(
            "Reloads",
            "Version loads by outcome since the service started. A rejected version leaves the previous one serving; "
            "the log gives the reason.",
            "short",
            (Series("sum by (result) (nextup_model_reload_total)", "{{result}}"),),
            width=6,
        ),
        Panel(
            "Batches",
            "Model runs per second.",
            "ops",
            (Series(rate("nextup_batch_size_count"), "batches"),),
            width=6,
        ),
        Panel(
            "Cancelled requests",
            "Requests per second that the caller abandoned before the response: a sign that responses are too slow.",
            "reqps",
            (Series(rate("nextup_cancelled_total"), "cancelled"),),
            width=6,
        ),
    ),
)

QUALITY = Row(
    "Quality",
    (
        Panel(
            "Fallbacks",
            "Share of recommendations by fallback reason. unknown_user means new users; no_known_items means that the "
            "model is out of date; the other reasons are faults.",
            "percentunit",
            (
                Series(
                    or_zero(
                        f"{rate('nextup_recommendations_total', 'reason', matchers=BY_POPULARITY)}"
                        f" / on () group_left () {ALL_RECOMMENDATIONS}"
                    ),
                    "{{reason}}",
                ),
            ),
            bad_above=limits.FALLBACK_SHARE,
            alert="NextupFallback",
        ),
        Panel(
            "History length",
            "Items per history in requests. Recommendations get worse when histories are shorter than in training.",
            "short",
            tuple(Series(quantile(fraction, "nextup_history_length"), name) for fraction, name in QUANTILES.items()),
        ),
        Panel(
            "Empty results",
            "Recommendations per second without any item, because the filters excluded all of them.",
            "reqps",
            (Series(or_zero(rate("nextup_recommendations_total", matchers='reason="no_eligible_items"')), "empty"),),
        ),
    ),
)

MODEL_AND_QUALITY = Dashboard(
    "quality", "Model and quality", (MODEL, QUALITY, FEEDBACK, NEW_ITEMS, EXPLANATIONS, EXPERIMENTS)
)
