"""Rows "New items" and "Explanations" of the dashboard "Model and quality"."""

from app.monitoring.panels import Panel, Row, Series
from app.monitoring.promql import QUANTILES, increase, quantile, rate, ratio

WINDOW = "1h"


def _share_of_feedback(kind: str) -> str:
    matchers = f'kind="{kind}"'
    return ratio(
        increase("nextup_new_item_feedback_total", "", WINDOW, matchers),
        increase("nextup_feedback_total", "", WINDOW, matchers),
    )


NEW_ITEMS = Row(
    "New items",
    (
        Panel(
            "Answers with new items",
            "Share of all recommendations that have an item that the version was not trained on.",
            "percentunit",
            (Series(ratio(rate("nextup_new_item_answers_total"), rate("nextup_recommendations_total")), "answers"),),
        ),
        Panel(
            "Feedback on new items",
            "Share of impressions, clicks and conversions of the last hour that are of new items. Clicks above "
            "impressions: new items are clicked more often than others.",
            "percentunit",
            tuple(
                Series(_share_of_feedback(kind), name)
                for kind, name in (("impression", "impressions"), ("click", "clicks"), ("conversion", "conversions"))
            ),
        ),
        Panel(
            "New items per answer",
            "New items per recommendation that has any.",
            "short",
            (
                Series(
                    ratio(rate("nextup_new_items_recommended_total"), rate("nextup_new_item_answers_total")), "items"
                ),
            ),
        ),
    ),
)

EXPLANATIONS = Row(
    "Explanations",
    (
        Panel(
            "Explained answers",
            "Answers of the model per second to requests with explain. Unsupported: the model cannot explain.",
            "reqps",
            (Series(rate("nextup_explanations_total", "result"), "{{result}}"),),
            width=12,
        ),
        Panel(
            "Time of an explanation",
            "Time that the model takes for the explanations of one answer, in addition to the answer.",
            "s",
            tuple(
                Series(quantile(fraction, "nextup_explanation_seconds"), name) for fraction, name in QUANTILES.items()
            ),
            width=12,
        ),
    ),
)
