"""Answers under boosts and limits for a whole batch, which native code searches for and picks.

What it needs of items is read when it meets them: their values, and the masks of values that are used up. `ranking.py`
explains the bounds, continues the answers that are not whole after the searches, and ranks those under other rules.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from app.inference.filters.masks import FilterMasks, make_boost_key
from app.inference.live.mask_cache import Mask
from app.inference.rules.item_rules import ItemRules
from app.inference.rules.limits import find_items_with_value
from app.inference.rules.ranking import Indices, Ranked
from models.native.answer_rules import AnswerRules, Bonuses, LimitedValues, NativeAnswers
from models.native.ruled_search import RuledSearch

DEPTH = 3
"""Items per item of the answer that a search returns under boosts or limits."""
MAX_CALLS = 4
"""Calls of native code for a batch; each but the first one knows more items or masks."""


class RuledQuery(NamedTuple):
    """A query under rules; `allowed` None allows all items."""

    rules: ItemRules
    k: int
    allowed: Mask | None
    excluded: Indices


class PickedAnswer(NamedTuple):
    """The first items of an answer, and whether these are all of it."""

    items: Ranked
    is_whole: bool


OpenSearch = Callable[[int, Sequence[Indices], Sequence[Mask | None]], RuledSearch | None]
"""Opens searches of a depth for all queries of a batch, with their excluded items and masks."""


def can_pick(rules: ItemRules) -> bool:
    """Whether all rules are boosts and limits."""
    return not (rules.promotions or rules.diversity or rules.shown)


def pick_answers(
    queries: Sequence[RuledQuery], filters: FilterMasks, open_search: OpenSearch
) -> list[PickedAnswer] | None:
    """Pick the answers to queries with boosts and limits, by scores that are logits; None where nothing can search."""
    depth = max(map(_plan_depth, queries))
    search = open_search(depth, [query.excluded for query in queries], [query.allowed for query in queries])
    if search is None:
        return None
    groups: dict[Hashable, RuleGroup] = {}
    for row, query in enumerate(queries):
        key = make_boost_key(query.rules.boosts), query.rules.limits
        groups.setdefault(key, RuleGroup(query.rules, filters)).rows.append(row)
    answers = NativeAnswers([query.k for query in queries])
    for _ in range(MAX_CALLS):
        rules: list[AnswerRules | None] = [None] * len(queries)
        for group in groups.values():
            group_rules = group.make(search.num_items)
            for row in group.rows:
                rules[row] = group_rules
        search.fill([rule for rule in rules if rule is not None], answers)
        has_learned = [group.learn(search, answers) for group in groups.values()]
        if not any(has_learned):
            break
    lengths, is_whole = answers.lengths.tolist(), answers.is_whole.tolist()
    ranked = [Ranked(answers.items[row, :end], answers.scores[row, :end]) for row, end in enumerate(lengths)]
    return list(map(PickedAnswer, ranked, is_whole))


class RuleGroup:
    """The queries of a batch that have the same rules; `rows` are their numbers."""

    def __init__(self, rules: ItemRules, filters: FilterMasks) -> None:
        self.rows: list[int] = []
        self._rules = rules
        self._filters = filters
        fields = tuple(name for name, _ in rules.limits)
        self._known = filters.values.select(fields).get_known() if fields else None
        self._most = np.array([limit for _, limit in rules.limits], dtype=np.int32)

    def make(self, num_items: int) -> AnswerRules:
        """Make the rules with all that is known of items."""
        classes, known = self._filters.find_boost_classes(self._rules.boosts), self._known
        bonuses = Bonuses(classes.bonuses, classes.numbers, classes.largest)
        if known is None:
            return AnswerRules(num_items, bonuses, None)
        numbers, fields, members = known.numbers, known.fields_of_values, known.member_addresses
        return AnswerRules(num_items, bonuses, LimitedValues(known.places, numbers, fields, self._most, members))

    def learn(self, search: RuledSearch, answers: NativeAnswers) -> bool:
        """Read what the open answers need; False if that is known."""
        known, rows = self._known, [row for row in self.rows if not answers.is_whole[row]]
        if known is None or not rows:
            return False
        has_read = known.read_all(search.pools[rows])
        used_up = answers.used_up[rows]
        missing = known.find_numbers_without_members(used_up[used_up >= 0])
        for number in missing:
            known.set_members(number, find_items_with_value(self._filters, *known.get_value(number)))
        return has_read or bool(missing)


def _plan_depth(query: RuledQuery) -> int:
    """Items of each search but the last one."""
    return query.k * (DEPTH if query.rules.limits or query.rules.boosts else 1)
