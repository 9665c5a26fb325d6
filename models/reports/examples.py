"""Ten users of an evaluation with their histories, their answers and the reasons for them, evenly spaced over all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.catalogue.catalogue import Catalogue
from models.data.dataset import UNKNOWN_ITEM, Dataset
from models.data.splits import Cases, select_case_times, select_request_times
from models.evaluation.evaluate import Evaluation
from models.evaluation.metrics import NOT_RANKED
from models.explanation import Explanation
from models.predictor import Predictor
from models.removal import can_explain, explain_items
from models.reports.page import Card, CardLine, Section

MIN_SHARE = 0.005
NUM_EXAMPLES, NUM_ITEMS, NUM_EXPLAINED, NUM_EVENTS = 10, 10, 3, 8
NO_TIME = "The time of --max-minutes is used up."


@dataclass(frozen=True, slots=True)
class ExampleSource:
    """Results that examples show; `has_time` is asked before each example."""

    dataset: Dataset
    cases: Cases
    evaluation: Evaluation
    predictor: Predictor | None
    request_times: bool = False
    has_time: Callable[[], bool] = lambda: True


def make_example_section(source: ExampleSource) -> Section:
    """Show the examples; notes state why there are fewer, or why none is explained."""
    name, title = "examples", "Example users"
    if not len(source.cases):
        return Section(name, title, notes=["Not shown: there are no cases."])
    num_cases = len(source.cases)
    rows = np.linspace(0, num_cases - 1, min(num_cases, NUM_EXAMPLES)).astype(np.int64).tolist()
    cards: list[Card] = []
    for row in rows:
        if not source.has_time():
            break
        cards.append(_make_card(source, row))
    notes = [] if len(cards) == len(rows) else [f"{len(cards)} of {len(rows)} users are shown. {NO_TIME}"]
    if source.predictor is not None and not can_explain(source.predictor):
        notes.append("Without reasons: this model ranks items by their counts, whatever the history is.")
    text = (
        f"{len(cards)} of {num_cases:,} cases, evenly spaced over the users and not chosen by their result. Reasons "
        f"of the first {NUM_EXPLAINED} items are those of the history whose removal lowers the score most, with their "
        "shares. This section has ids of users."
    )
    return Section(name, title, text, cards=cards, notes=notes)


def _make_card(source: ExampleSource, row: int) -> Card:
    catalogue, case = source.dataset.catalogue, source.cases
    history, target = case.histories[row], int(case.targets[row])
    rank = int(source.evaluation.target_ranks[row])
    top = [int(item) for item in source.evaluation.recommended[row, :NUM_ITEMS] if item]
    explanations = _explain(source, row, top[:NUM_EXPLAINED])
    place = "not in the top 20" if rank == NOT_RANKED else f"at place {rank + 1}"
    next_item = "an item outside the catalogue" if target == UNKNOWN_ITEM else _name_item(catalogue, target)[0]
    events = [CardLine(*_name_item(catalogue, int(item))) for item in history[: -NUM_EVENTS - 1 : -1]]
    recommended = [
        _make_line(catalogue, item, _describe_reasons(catalogue, explanations, number), is_target=item == target)
        for number, item in enumerate(top)
    ]
    return Card(
        f"User {source.dataset.user_ids[int(case.users[row])]}",
        f"Held out: {next_item}, {place}.",
        [(f"History, newest first, {len(events)} of {len(history):,}", events), ("Recommended", recommended)],
    )


def _explain(source: ExampleSource, row: int, items: Sequence[int]) -> list[Explanation]:
    predictor, case = source.predictor, source.cases
    if predictor is None or not can_explain(predictor):
        return []
    users = case.users[row : row + 1]
    part = source.evaluation.part
    request_time = 0
    if source.request_times:
        request_time = int(select_request_times(source.dataset, part, users)[0])
    times = select_case_times(source.dataset, part, users)[0] if predictor.reads_times else None
    return explain_items(predictor, case.histories[row], items, times=times, request_time=request_time)


def _describe_reasons(catalogue: Catalogue, explanations: Sequence[Explanation], number: int) -> str:
    """The reasons of an item with their shares, without those that round to nothing."""
    reasons = explanations[number].reasons if number < len(explanations) else ()
    names = [
        f"{_name_item(catalogue, reason.item)[0]} ({reason.weight:.0%})"
        for reason in reasons
        if reason.weight >= MIN_SHARE
    ]
    return f"because of {', '.join(names)}" if names else ""


def _make_line(catalogue: Catalogue, item: int, note: str, *, is_target: bool) -> CardLine:
    title, item_id = _name_item(catalogue, item)
    words = [item_id] if item_id else []
    return CardLine(title, ", ".join([*words, "held out"] if is_target else words), note, is_target)


def _name_item(catalogue: Catalogue, item: int) -> tuple[str, str]:
    """Title and id of an item; the id and nothing without a title."""
    title, item_id = catalogue.title(item), catalogue.item_id(item)
    return (item_id, "") if title is None else (title, item_id)
