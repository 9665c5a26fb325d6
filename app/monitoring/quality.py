"""Which model serves, and how much of the answering it does."""

from app.monitoring import limits
from app.monitoring.panels import Dashboard, Panel, Query, Row
from app.monitoring.promql import QUANTILES, or_zero, quantile, rate, share

ANSWERED = rate("nextup_recommendations_total")
BY_POPULARITY = 'served_by="popularity"'

MODEL = Row(
    "Model",
    (
        Panel(
            "Serves",
            "Version, preset, device and number format.",
            "short",
            (
                Query(
                    "max by (version, preset, device, dtype) (nextup_model_info) > 0",
                    "{{version}} {{preset}} {{device}} {{dtype}}",
                ),
            ),
            kind="stat",
            width=12,
            names_alone=True,
        ),
        Panel(
            "Last batch",
            "Since the model last finished a batch. It grows while nobody asks.",
            "s",
            (Query("time() - max(nextup_last_batch_timestamp_seconds)", "ago"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "By the model",
            "Share of recommendations, of all.",
            "percentunit",
            (
                Query(
                    share(rate("nextup_recommendations_total", where='served_by="model"'), ANSWERED),
                    "model",
                ),
            ),
            kind="stat",
            width=4,
        ),
        Panel(
            "Index recall",
            "Share of the exact 10 best that approximate answers have, measured when the index was built; 1 without.",
            "percentunit",
            (Query("min(nextup_index_recall)", "recall"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Versions",
            "1 for the version that serves: where the line changes, a model was changed.",
            "short",
            (Query("max by (version) (nextup_model_info)", "{{version}}"),),
            width=6,
        ),
        Panel(
            "Reloads",
            "Versions loaded beside the one that serves, by what became of them, since the service began. A rejected "
            "one leaves the old one serving; the log says why.",
            "short",
            (Query("sum by (result) (nextup_model_reload_total)", "{{result}}"),),
            width=6,
        ),
        Panel(
            "Batches",
            "Runs of the model per second.",
            "ops",
            (Query(rate("nextup_batch_size_count"), "batches"),),
            width=6,
        ),
        Panel(
            "Callers that left",
            "Per second, before their answer: a sign that answers come too late for them.",
            "reqps",
            (Query(rate("nextup_cancelled_total"), "left"),),
            width=6,
        ),
    ),
)

QUALITY = Row(
    "Quality",
    (
        Panel(
            "Not by the model",
            "Share of recommendations by reason. Unknown users are new ones; no_known_items is a model that does not "
            "know what people do now; the rest is trouble.",
            "percentunit",
            (
                Query(
                    or_zero(
                        f"{rate('nextup_recommendations_total', 'reason', where=BY_POPULARITY)}"
                        f" / on () group_left () {ANSWERED}"
                    ),
                    "{{reason}}",
                ),
            ),
            bad_above=limits.FALLBACK_SHARE,
        ),
        Panel(
            "History length",
            "Items in the histories that are asked about. Shorter ones than in training give poorer answers.",
            "short",
            tuple(Query(quantile(share, "nextup_history_length"), name) for share, name in QUANTILES.items()),
        ),
        Panel(
            "Filters that left nothing",
            "Recommendations per second without any item, because a filter excluded all.",
            "reqps",
            (Query(or_zero(rate("nextup_recommendations_total", where='reason="no_eligible_items"')), "empty"),),
        ),
    ),
)

MODEL_AND_QUALITY = Dashboard("quality", "Model and quality", (MODEL, QUALITY))
