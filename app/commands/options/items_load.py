"""Options of `nextup items load`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import csv_of
from app.cli.options import Argument, CommandOptions, Option


@dataclass(kw_only=True)
class ItemsLoadOptions(CommandOptions):
    """The file of items, and its columns."""

    EXAMPLES = (
        "nextup items load products.csv",
        "nextup items load products.parquet --columns item=sku,title=name --attributes price,brand",
        "nextup items load items.jsonl --json",
    )

    file: Annotated[Path, Argument("items: CSV, TSV, JSON lines or Parquet, or - for standard input", metavar="FILE")]
    columns: Annotated[
        str | None,
        Option(
            "column names, or numbers from 1 for a file without a header; also available, url and image_url",
            metavar="item=…,title=…,categories=…",
            default="item_id, title, categories, available, url and image_url",
        ),
    ] = None
    attributes: Annotated[
        list[str] | None,
        Option(
            "columns that are attributes, comma-separated",
            csv_of(str),
            metavar="NAME,…",
            default="all other columns but available, url and image_url",
        ),
    ] = None
    separator: Annotated[
        str | None, Option("separator of cells, such as ';' or tab", metavar="TEXT", default="detected")
    ] = None
    encoding: Annotated[
        str | None, Option("encoding of text, such as latin-1", metavar="NAME", default="UTF-8, or UTF-16 by mark")
    ] = None
