"""Evaluates a filter expression to a mask over the items of one version."""

import operator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from app.inference.filters.expression import AllOf, AnyOf, Compares, Contains, Exists, Expression, IsIn, Not
from app.inference.live.item_values import CATEGORIES
from app.inference.live.items import LiveItems
from app.inference.live.version_view import VersionView

Mask = NDArray[np.bool_]
AVAILABLE = "available"
"""A field of every item, which filters name like attributes, as they do categories."""
COMPARE = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}


def evaluate(expression: Expression, view: VersionView) -> Mask:
    """(num_items + 1,) items that match; padding may be set."""
    if isinstance(expression, AllOf):
        return reduce(np.logical_and, [evaluate(part, view) for part in expression.parts])
    if isinstance(expression, AnyOf):
        return reduce(np.logical_or, [evaluate(part, view) for part in expression.parts])
    if isinstance(expression, Not):
        return ~evaluate(expression.part, view)
    if expression.attribute == CATEGORIES:
        return _evaluate_categories(expression, view)
    if expression.attribute == AVAILABLE:
        return _evaluate_availability(expression, view)
    return view.to_items(_match_rows(expression, view.live))


def _match_rows(expression: Compares | IsIn | Contains | Exists, live: LiveItems) -> Mask:
    """(rows,) live items that match; an item without the attribute never does."""
    numbers = live.attributes.numbers.get(expression.attribute)
    values = live.attributes.values.get(expression.attribute)
    matches = [np.zeros(0, dtype=bool)]
    if isinstance(expression, Compares):
        if numbers is not None:
            matches.append(COMPARE[expression.comparison](numbers.values, expression.bound))
    elif isinstance(expression, IsIn):
        bounds = [value for kind, value in expression.values if kind == "number"]
        others = [value for kind, value in expression.values if kind != "number"]
        if numbers is not None and bounds:
            matches.append(np.isin(numbers.values, bounds))
        if values is not None and others:
            matches.append(values.match_any(others))
    elif isinstance(expression, Contains):
        if values is not None:
            matches.append(values.match(lambda value: _contains(value, expression)))
    else:
        if numbers is not None:
            matches.append(~np.isnan(numbers.values))
        if values is not None:
            matches.append(values.has_value())
    return reduce(_join, matches)


def _join(first: Mask, second: Mask) -> Mask:
    """Either of two masks, of which one may have rows that were added meanwhile."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    joined = longer.copy()
    joined[: len(shorter)] |= shorter
    return joined


def _contains(value: object, expression: Contains) -> bool:
    members = value if isinstance(value, tuple) else (value,)
    return (all if expression.needs_all else any)(text in members for text in expression.texts)


def _evaluate_categories(expression: Compares | IsIn | Contains | Exists, view: VersionView) -> Mask:
    nothing = np.zeros(view.num_items + 1, dtype=bool)
    if isinstance(expression, Contains):
        names = sorted(expression.texts)
    elif isinstance(expression, IsIn):
        names = sorted(str(value) for kind, value in expression.values if kind == "text")
    else:
        return nothing
    combine = np.logical_and if isinstance(expression, Contains) and expression.needs_all else np.logical_or
    return reduce(combine, map(view.find_category_members, names)) if names else nothing


def _evaluate_availability(expression: Compares | IsIn | Contains | Exists, view: VersionView) -> Mask:
    available = view.available
    if available is None:
        available = np.ones(view.num_items + 1, dtype=bool)
    if isinstance(expression, Exists):
        return np.ones_like(available)
    matches = np.zeros_like(available)
    if isinstance(expression, IsIn):
        if ("boolean", True) in expression.values:
            matches |= available
        if ("boolean", False) in expression.values:
            matches |= ~available
    return matches
