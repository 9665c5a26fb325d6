"""Warnings for texts in attributes that most items of the live catalogue give as numbers.

A comparison such as `lt` does not match a text, so a price "12.99" among numbers leaves its item out of answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.http.field_problems import FieldProblem
from app.inference.live.attributes import AttributeColumns, is_text
from app.runtime.pacing import Pacer


async def find_warnings(
    columns: AttributeColumns, items: Sequence[Mapping[str, Any] | None]
) -> list[list[FieldProblem]]:
    """Find the texts of each item's attributes that stand among numbers; `columns` already have these items."""
    pacer, counts = Pacer(), dict[str, tuple[int, int]]()
    warnings = []
    for attributes in items:
        mixed = [name for name, value in (attributes or {}).items() if name in columns.numbers and is_text(value)]
        own = []
        for name in mixed:
            if name not in counts:
                counts[name] = columns.count_items(name)
                await pacer.pause_if_due()
            numbers, others = counts[name]
            if numbers > others:
                detail = (
                    f"is a text, and {numbers:,} of {numbers + others:,} items have a number; comparisons such as lt "
                    "do not match texts, so send it as a number"
                )
                own.append(FieldProblem(field=f"attributes.{name}", detail=detail))
        warnings.append(own)
        await pacer.pause_if_due()
    return warnings
