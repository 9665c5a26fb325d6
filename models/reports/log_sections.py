"""Sections of a report about the log: its funnel, histories, popularity and times."""

from models.data.funnel import Funnel
from models.evaluation.evaluate import Evaluation
from models.reports.charts.columns import draw_columns
from models.reports.charts.drawing import Caption
from models.reports.charts.lines import Axes, Series, draw_lines
from models.reports.charts.rows import BarRow, draw_bars
from models.reports.log_profile import Histogram, LogProfile
from models.reports.page import Figure, Section, Table
from models.text_table import format_duration

MAX_REASONS = 10


def make_funnel_section(funnel: Funnel | None, profile: LogProfile, num_users: int, evaluation: Evaluation) -> Section:
    """Show how many rows of the log are left after each step."""
    text = "From the rows of the log to the events that train the model and the users that test it."
    if funnel is None:
        note = "The rows of the log were not counted, as this run did not read them from a file."
        rows = []
    else:
        report, note = funnel.report, ""
        rows = [
            ("rows read", report.rows, "fill-0"),
            *((f"bad rows: {reason}", count, "fill-1") for reason, count in list(report.reasons.items())[:MAX_REASONS]),
            ("duplicates", report.duplicates, "fill-1"),
            ("events of the log", funnel.events, "fill-0"),
            *((f"dropped: {drop.rule}", drop.events, "fill-1") for drop in funnel.drops),
        ]
    rows.append(("events of the dataset", profile.num_events, "fill-0"))
    people = [
        ("users of the dataset", num_users, "fill-0"),
        (f"{evaluation.part} cases", evaluation.num_cases, "fill-0"),
    ]
    if evaluation.unknown_targets:
        people.append(("cases of items outside the catalogue", evaluation.unknown_targets, "fill-1"))
    figures = [
        _make_bars("funnel", "Rows and events", "Rows of the log that remain, and those that were dropped.", rows),
        _make_bars("cases", "Users and cases", "Users of the dataset, and cases of the evaluation.", people),
    ]
    notes = [note] if note else []
    return Section("log", "The log", text, figures, notes=[*notes, *([] if funnel is None else funnel.report.notes)])


def make_history_section(profile: LogProfile) -> Section:
    """Show lengths of histories and popularity of items."""
    num_items = sum(items for items, _ in profile.classes.values())
    num_counted = max(1, sum(events for _, events in profile.classes.values()))
    class_rows = [
        [f"{name} items", f"{items:,}", f"{items / num_items:.1%}", f"{events:,}", f"{events / num_counted:.1%}"]
        for name, (items, events) in profile.classes.items()
    ]
    popularity = Figure(
        "Popularity of items",
        draw_lines(
            Caption("popularity", "Popularity of items", "Training events of the items by their popularity rank."),
            [Series("items", [(float(rank), float(count)) for rank, count in profile.popularity])],
            Axes("popularity rank", "training events", is_log_x=True, is_log_y=True),
        ),
        Table(["rank", "training events"], [[f"{rank:,}", f"{count:,}"] for rank, count in profile.popularity]),
        f"Gini index {profile.gini:.3f}: 0 if all items were equally popular, near 1 if one had all events.",
    )
    figures = [_make_histogram("lengths", "Events per user", "users", profile.lengths, "events"), popularity]
    head = ["", "items", "share", "events", "share"]
    return Section(
        "histories",
        "Histories and popularity",
        "Events are those of the training part. Head items have the first half of them, torso items those up to 80 %, "
        "tail items the others.",
        figures,
        [("Popularity classes", Table(head, class_rows))],
    )


def make_time_section(profile: LogProfile) -> Section:
    """Show events over time, gaps between events, and hours of the day."""
    name, title = "times", "Times and gaps"
    if profile.events_over_time is None:
        return Section(name, title, notes=["Not measured: the log has no real times (ranks, or before March 1973)."])
    figures = [_make_histogram("over-time", "Events over time", "events", profile.events_over_time)]
    notes = []
    if profile.gaps is not None:
        figures.append(_make_histogram("gaps", "Time since the user's event before", "pairs", profile.gaps, "seconds"))
    else:
        notes.append("Gaps were not measured: no user has two events with real times.")
    if profile.hours is not None:
        figures.append(_make_histogram("hours", "Hour of the day, in UTC", "events", profile.hours))
    text = ""
    if profile.num_sampled < profile.num_events:
        text = f"Counted on {profile.num_sampled:,} of {profile.num_events:,} events, those of evenly spaced users."
    return Section(name, title, text, figures, notes=notes)


def _make_bars(name: str, title: str, description: str, rows: list[tuple[str, int, str]]) -> Figure:
    bars = [BarRow(label, count, f"{count:,}", kind) for label, count, kind in rows]
    table = Table(["", "count"], [[label, f"{count:,}"] for label, count, _ in rows])
    return Figure(title, draw_bars(Caption(name, title, description), bars), table)


def _make_histogram(name: str, title: str, counted: str, histogram: Histogram, unit: str = "") -> Figure:
    caption = Caption(name, title, f"Number of {counted} by bin; the table has all numbers.")
    table = Table(
        ["", counted],
        [[label, f"{count:,}"] for label, count in zip(histogram.labels, histogram.counts, strict=True)],
    )
    note = ""
    if histogram.quantiles is not None:
        texts = [format_duration(value) if unit == "seconds" else f"{value:,.0f}" for value in histogram.quantiles]
        note = "p10 {}, median {}, p90 {}, maximum {}".format(*texts)
    return Figure(title, draw_columns(caption, histogram.labels, histogram.counts), table, note)
