"""`nextup items load`: bulk-load a file of items into the live catalogue (idempotent)."""

import asyncio
import json
import sys
import time

from app.cli.attribute_columns import parse_item_columns
from app.cli.catalogue_file import CatalogueFile
from app.cli.load_items import LoadReport, load_items
from app.commands.options.items_load import ItemsLoadOptions
from app.environment import STORE_SETTINGS, load_settings
from app.stores.session import redis_url
from models.data.read_options import ReadOptions
from models.printable import to_printable

USED_SETTINGS = STORE_SETTINGS | {"catalogue_max_items"}


def run(arguments: ItemsLoadOptions) -> int:
    settings = load_settings(USED_SETTINGS)
    columns = parse_item_columns(arguments.columns)
    options = ReadOptions(columns=columns, separator=arguments.separator, encoding=arguments.encoding)
    file = CatalogueFile.from_path(arguments.file, options, arguments.attributes)
    with redis_url(settings) as url:
        started_at = time.monotonic()
        report = asyncio.run(load_items(url, settings, file.file, file.iter_items()))
    seconds = time.monotonic() - started_at
    for line in [*report.format_lines(), *file.format_lines()]:
        print(to_printable(line), file=sys.stderr)
    print(format_summary(report))
    speed = {"seconds": round(seconds, 2), "items_per_s": round(report.rows / max(seconds, 1e-9))}
    print(json.dumps(report.to_json() | speed), flush=True)
    if report.failure is not None:
        raise ValueError(f"{report.statuses['failed']:,} items are not loaded: {report.failure}")
    return 0


def format_summary(report: LoadReport) -> str:
    counts = report.to_json()
    return f"{counts.pop('rows'):,} rows: " + ", ".join(f"{count:,} {status}" for status, count in counts.items())
