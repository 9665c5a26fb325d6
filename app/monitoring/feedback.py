"""Rows "Feedback" and "Experiments" of the dashboard "Model and quality": what came of recommendations."""

from app.monitoring.panels import Panel, Row, Series
from app.monitoring.promql import increase, or_zero, rate, ratio, wilson_bound

FEEDBACK_WINDOW = "1h"
SHOWN, CLICKED, CONVERTED = (
    increase("nextup_feedback_total", "model_version", FEEDBACK_WINDOW, f'kind="{kind}"')
    for kind in ("impression", "click", "conversion")
)
SHOWN_AT, CLICKED_AT = (
    increase("nextup_feedback_positions_total", "position", FEEDBACK_WINDOW, f'kind="{kind}"')
    for kind in ("impression", "click")
)
FEEDBACK = Row(
    "Feedback",
    (
        Panel(
            "Impressions, clicks, conversions",
            "Per second, each recommended item once per kind. Counted from events that carry the recommendation_id.",
            "cps",
            (Series(or_zero(rate("nextup_feedback_total", "kind")), "{{kind}}"),),
        ),
        Panel(
            "Click-through by version",
            "Clicks per impression of the last hour with the 95 % confidence interval. Two versions differ if their "
            "intervals do not overlap.",
            "percentunit",
            (
                Series(or_zero(f"{CLICKED} / {SHOWN}"), "{{model_version}}"),
                Series(or_zero(wilson_bound(CLICKED, SHOWN, upper=False)), "{{model_version}} low"),
                Series(or_zero(wilson_bound(CLICKED, SHOWN, upper=True)), "{{model_version}} high"),
            ),
        ),
        Panel(
            "Clicks by position",
            "Clicks per second by place in the answer. Clients send the position with the event.",
            "cps",
            (
                Series(
                    or_zero(rate("nextup_feedback_positions_total", "position", matchers='kind="click"')),
                    "{{position}}",
                ),
            ),
        ),
        Panel(
            "Click-through by position",
            "Clicks per impression of the last hour by place in the answer: how much a place is worth.",
            "percentunit",
            (Series(or_zero(f"{CLICKED_AT} / ({SHOWN_AT} > 0)"), "{{position}}"),),
            width=12,
        ),
        Panel(
            "Conversions by version",
            "Conversions per click of the last hour.",
            "percentunit",
            (Series(or_zero(f"{CONVERTED} / ({CLICKED} > 0)"), "{{model_version}}"),),
            width=12,
        ),
    ),
)

VARIANTS_SHOWN, VARIANTS_CLICKED = (
    increase("nextup_experiment_feedback_total", "experiment, variant", FEEDBACK_WINDOW, f'kind="{kind}"')
    for kind in ("impression", "click")
)
EXPERIMENTS = Row(
    "Experiments",
    (
        Panel(
            "Click-through by variant",
            "Clicked items per shown item of the last hour. To decide, read GET /experiments/{name}, whose intervals "
            "stay valid however often they are read.",
            "percentunit",
            (Series(or_zero(f"{VARIANTS_CLICKED} / {VARIANTS_SHOWN}"), "{{experiment}} {{variant}}"),),
        ),
        Panel(
            "Answers by variant",
            "Recommendations per second to users in an experiment. Not served: another source answered, because the "
            "user has no history, or the version is not loaded or failed.",
            "reqps",
            (
                Series(
                    or_zero(rate("nextup_experiment_recommendations_total", "experiment, variant, served")),
                    "{{experiment}} {{variant}} served={{served}}",
                ),
            ),
        ),
        Panel(
            "Versions in memory",
            "Versions that answer next to the serving one, and those that could not be loaded. The log and "
            "GET /experiments/{name} give the reason.",
            "short",
            (
                Series("max(nextup_resident_versions)", "loaded"),
                Series("max(nextup_resident_versions_missing)", "missing"),
            ),
            alert="NextupVersionMissing",
        ),
        Panel(
            "Shadow version",
            "Requests per second that the shadow version answered, failed, or did not get because others were waiting.",
            "reqps",
            (Series(or_zero(rate("nextup_shadow_answers_total", "result")), "{{result}}"),),
        ),
        Panel(
            "Overlap of the shadow version",
            "Mean share of the first 10 items of an answer that the shadow version answers too.",
            "percentunit",
            (
                Series(
                    ratio(rate("nextup_shadow_answer_overlap_sum"), rate("nextup_shadow_answer_overlap_count")),
                    "overlap",
                ),
            ),
        ),
        Panel(
            "Failures of a variant",
            "Queries per second that the serving version answered because that of the variant failed.",
            "reqps",
            (Series(or_zero(rate("nextup_resident_failures_total")), "failed"),),
        ),
    ),
)
