"""Section of a report about the size of a model, next to a model of the same dimension without compression."""

from collections.abc import Mapping

from models.reports.charts.drawing import Caption
from models.reports.charts.rows import BarRow, draw_bars
from models.reports.page import Figure, Section, Table
from models.text_table import format_bytes

WEIGHTS = ("embedding", "encoder", "head", "transitions")
"""Parts that a model without compression would have in another size, or as well."""


def make_size_section(bytes_by_part: Mapping[str, int], uncompressed_bytes: int) -> Section:
    """Show the bytes of each part, and of all weights next to those of an uncompressed model."""
    weights = sum(size for part, size in bytes_by_part.items() if part in WEIGHTS)
    totals = [
        BarRow("weights of this model", weights, format_bytes(weights)),
        BarRow("weights without compression", uncompressed_bytes, format_bytes(uncompressed_bytes), "fill-4"),
    ]
    parts = [BarRow(part, size, format_bytes(size)) for part, size in bytes_by_part.items()]
    ratio = f"{uncompressed_bytes / weights:.1f} times smaller" if 0 < weights < uncompressed_bytes else "not smaller"
    text = (
        f"The weights are {ratio} than those of the same model with one float32 vector per item in the embedding and "
        "another in the head."
    )
    figures = [
        Figure("Weights", draw_bars(Caption("weights", "Weights", text), totals), _make_table(totals)),
        Figure(
            "Bytes by part", draw_bars(Caption("parts", "Bytes by part", "A bar per part."), parts), _make_table(parts)
        ),
    ]
    return Section("size", "Size", text, figures)


def _make_table(rows: list[BarRow]) -> Table:
    return Table(["", "bytes"], [[row.label, f"{row.value:,.0f}"] for row in rows])
