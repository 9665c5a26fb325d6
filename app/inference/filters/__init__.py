"""Filter expressions over the live catalogue: parsed once, evaluated to masks of a version."""

from app.inference.filters.expression import ItemFilter
from app.inference.filters.parsing import FilterError, parse_filter

__all__ = ["FilterError", "ItemFilter", "parse_filter"]
