"""Sections of a report about an evaluation: metrics, baselines, groups of cases, diversity and calibration."""

from collections.abc import Sequence

from models.evaluation.calibration import Calibration
from models.evaluation.comparison import Comparison, Score
from models.evaluation.evaluate import CUTOFFS, Evaluation
from models.evaluation.intervals import METHODS, format_interval
from models.evaluation.quality import Quality
from models.reports.charts.drawing import Caption
from models.reports.charts.rows import BarRow, IntervalRow, PairRow, draw_bars, draw_intervals, draw_pairs
from models.reports.page import Figure, Section, Table

SAMPLED = (
    "The rankings are of random negatives and the target, so this describes the negatives; evaluate without --sampled."
)
NO_BASELINES = "Not compared with baselines; nextup evaluate --baselines does so."
MAX_PAIRS = 12
"""Categories that are drawn; the table has those that were measured."""
DIVERSITY_NAMES = {
    "coverage@10": "coverage@10, share of the catalogue in at least one top 10",
    "novelty@10": "novelty@10, self-information in bits",
    "popularity_rank@10": "mean popularity rank of recommended items",
    "popularity_rank_of_histories": "mean popularity rank in histories",
    "popularity@10": "mean training events of recommended items",
    "popularity_of_histories": "mean training events of items in histories",
    "popularity_lift@10": "popularity lift@10",
    "gini@10": "Gini index of recommendations",
}


def make_metrics_section(
    evaluation: Evaluation, quality: Quality, comparison: Comparison | None, candidates: str
) -> Section:
    """Show the metrics with intervals, and next to baselines where they were ranked."""
    text = f"The held-out event of {evaluation.num_cases:,} users is ranked against {candidates}."
    if not evaluation.num_cases:
        return Section("metrics", "Metrics", notes=[f"Not measured: {evaluation.describe_unmeasured()}."])
    rows = [
        [
            f"{name.upper()}@{k}",
            f"{evaluation.values[f'{name}@{k}']:.4f}",
            format_interval(quality.intervals[f"{name}@{k}"]),
        ]
        for name in ("ndcg", "hr", "mrr")
        for k in CUTOFFS
    ]
    panels = [("Metrics", Table(["metric", "value", "95 % interval"], rows))]
    if comparison is None:
        return Section("metrics", "Metrics", text, panels=panels, notes=[NO_BASELINES])
    note = f"NDCG@10 of {comparison.num_users:,} of {comparison.num_cases:,} users, ranked by all of them; {METHODS}."
    chart = draw_intervals(
        Caption("baselines", "NDCG@10 against baselines", note),
        [_make_score_row(score, score is comparison.model) for score in comparison.scores],
    )
    figure = Figure("NDCG@10 against baselines", chart, Table(*comparison.make_table()), note)
    return Section("metrics", "Metrics", text, [figure], panels)


def make_segment_section(quality: Quality) -> Section:
    """Show NDCG@10 by history length, popularity of the target, and recency."""
    name, title = "groups", "Groups of cases"
    if not quality.segments:
        return Section(name, title, notes=["Not measured: there are no cases."])
    groups = [
        ("by-length", "By length of the history", [key for key in quality.segments if key.startswith("history")]),
        ("by-popularity", "By popularity of the target", [key for key in quality.segments if key.endswith("items")]),
        ("by-recency", "By recency", [key for key in quality.segments if key.startswith("gap")]),
    ]
    figures = [_make_segment_figure(quality, *group) for group in groups if group[2]]
    notes = []
    if not groups[2][2]:
        notes.append("By recency: not measured, as the log has no real times.")
    text = (
        "NDCG@10 with 95 % intervals (mean ± 1.96 standard errors). Recency is the time from the last event of the "
        "history to the target."
    )
    return Section(name, title, text, figures, notes=notes)


def make_diversity_section(quality: Quality, comparison: Comparison | None, *, is_sampled: bool = False) -> Section:
    """Show coverage, novelty and popularity bias, for the model and for baselines."""
    name, title = "diversity", "Coverage, novelty and popularity bias"
    if not quality.diversity:
        return Section(name, title, notes=["Not measured: there are no cases."])
    columns = [("model, all cases", quality.diversity)]
    model = None if comparison is None else comparison.model
    if comparison is not None:
        columns += [(score.name, score.diversity) for score in comparison.scores]
    rows = [[label, *(format_value(values[key]) for _, values in columns)] for key, label in DIVERSITY_NAMES.items()]
    figures = []
    if comparison is not None:
        figures = [
            _make_diversity_figure("coverage", "Coverage@10", "coverage@10", comparison.scores, model),
            _make_diversity_figure("novelty", "Novelty@10, in bits", "novelty@10", comparison.scores, model),
            _make_diversity_figure(
                "bias", "Training events of a recommended item", "popularity@10", comparison.scores, model
            ),
        ]
    text = (
        "Popularity lift is the relative difference of the mean popularity of recommended items from that of the items "
        "in the same users' histories: 0 is no bias, 1 twice as popular."
    )
    table = Table(["", *(key for key, _ in columns)], rows)
    return Section(name, title, text, figures, tables=[("All metrics", table)], notes=[SAMPLED] if is_sampled else [])


def make_calibration_section(calibration: Calibration | None, *, is_sampled: bool = False) -> Section:
    """Show the shares of categories in histories and in answers."""
    name, title = "calibration", "Calibration by category"
    if calibration is None:
        return Section(name, title, notes=["Not measured: the items have no categories (--items)."])
    names = ("in histories", "in the top 10")
    rows = [
        PairRow(each.name, each.history, each.recommended, f"{each.history:.1%} → {each.recommended:.1%}")
        for each in calibration.categories
    ]
    table = Table(["category", *names], [[row.label, f"{row.first:.2%}", f"{row.second:.2%}"] for row in rows])
    caption = Caption(
        name, "Shares of categories", "For each category, its mean share in users' histories and in their top 10."
    )
    text = (
        f"Mean shares of {len(rows):,} of {calibration.num_categories:,} categories, over "
        f"{calibration.num_users:,} users. Miscalibration@10, the mean Kullback-Leibler divergence of a user's "
        f"top 10 from the history, is {calibration.miscalibration:.4f}; 0 is perfect (Steck 2018)."
    )
    figure = Figure("Shares of categories", draw_pairs(caption, rows[:MAX_PAIRS], names), table)
    return Section(name, title, text, [figure], notes=[SAMPLED] if is_sampled else [])


def format_value(value: float) -> str:
    """Format a metric with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def choose_kind(is_model: bool) -> str:
    """Class of the marks of a model, or of a baseline."""
    return "fill-0" if is_model else "fill-4"


def _make_score_row(score: Score, is_model: bool) -> IntervalRow:
    value = score.ndcg.value
    low, high = score.ndcg.interval or (value, value)
    return IntervalRow(score.name, value, low, high, f"{value:.4f}", choose_kind(is_model))


def _make_segment_figure(quality: Quality, name: str, title: str, keys: Sequence[str]) -> Figure:
    rows, cells = [], []
    for key in keys:
        segment, interval = quality.segments[key], quality.segment_intervals[key]
        value = segment["ndcg@10"]
        low, high = interval or (value, value)
        text = f"{value:.4f} ({segment['cases']:,.0f} cases)"
        rows.append(IntervalRow(key, value, low, high, text))
        cells.append(
            [key, f"{segment['cases']:,.0f}", f"{value:.4f}", format_interval(interval), f"{segment['hr@10']:.4f}"]
        )
    chart = draw_intervals(Caption(name, title, "NDCG@10 of each group with its 95 % interval."), rows)
    return Figure(title, chart, Table(["", "cases", "NDCG@10", "95 % interval", "HR@10"], cells))


def _make_diversity_figure(name: str, title: str, key: str, scores: Sequence[Score], model: Score | None) -> Figure:
    rows = [
        BarRow(score.name, score.diversity[key], format_value(score.diversity[key]), choose_kind(score is model))
        for score in scores
    ]
    caption = Caption(name, title, "A bar for the model and for each baseline.")
    return Figure(title, draw_bars(caption, rows), Table(["", title], [[row.label, row.text] for row in rows]))
