"""Items of the live catalogue, for a training whose artifact describes them as operators last set them."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import polars as pl

from app.cli.failures import describe_failure
from app.cli.log_files import read_item_file
from app.cli.log_options import LogReadingOptions
from app.cli.options import LIVE_ITEMS
from app.environment import STORE_SETTINGS, load_settings
from app.settings import Settings
from app.stores.item_records import ItemRecord
from app.stores.live_items import CataloguePosition
from app.stores.session import open_live_items, redis_url
from models.catalogue.attributes import AttributeRow
from models.data.attribute_names import Attributes
from models.data.bad_rows import BadInput
from models.data.item_attributes import ATTRIBUTES, ATTRIBUTES_TYPE, make_attribute_rows
from models.data.items import COLUMN_ADVICE, ITEM_SCHEMA
from models.progress import progress
from models.ranks import Ranks

STEP_CHANGES = 1_000
Row = tuple[str, str | None, list[str], list[AttributeRow]]


class ItemSource(NamedTuple):
    """Items, and the texts of messages about them; `advice` is for a source with no item of the log."""

    items: pl.DataFrame
    name: str
    noun: str = "file"
    advice: str = COLUMN_ADVICE


def read_item_source(
    path: Path | None, arguments: LogReadingOptions, attributes: Attributes, ranks: Ranks
) -> ItemSource | None:
    """Read the items of `--items`, None without it; BadInput for an empty live catalogue.

    All ranks get what the first one reads from a live catalogue, which may change between two reads.
    """
    is_live = path == Path(LIVE_ITEMS)
    ranks.assert_equal_across_ranks("--items", LIVE_ITEMS if is_live else "a file, or none")
    if not is_live:
        items = read_item_file(path, arguments, attributes)
        return None if items is None else ItemSource(items, str(path))
    rows, problem = ranks.broadcast_object(_try_to_read(attributes) if ranks.is_first else None) or ([], None)
    if problem is not None:
        raise BadInput(f"--items {LIVE_ITEMS}: {problem}")
    schema = pl.Schema({**ITEM_SCHEMA, ATTRIBUTES: ATTRIBUTES_TYPE})
    return ItemSource(
        pl.DataFrame(rows, schema=schema, orient="row"),
        "the live catalogue",
        "catalogue",
        "check NEXTUP_REDIS_URL and NEXTUP_DATA_DIR",
    )


def _try_to_read(attributes: Attributes) -> tuple[list[Row], str | None]:
    """Read the items, or describe why that fails, for all ranks."""
    try:
        settings = load_settings(STORE_SETTINGS)
        with redis_url(settings) as url:
            rows = asyncio.run(collect_items(url, settings, attributes))
    except Exception as error:
        if (problem := describe_failure(error)) is None:
            raise
        return [], problem
    if not rows:
        return [], (
            "no item of the live catalogue has a title, categories or attributes; load them with "
            "`nextup items load FILE`, check NEXTUP_REDIS_URL and NEXTUP_DATA_DIR, or pass a file"
        )
    absent = [] if attributes is None else sorted(set(attributes) - {each["name"] for row in rows for each in row[3]})
    if absent:
        return [], f"no item of the live catalogue has the attribute {absent[0]!r} of --attributes; leave it out"
    return rows, None


async def collect_items(url: str, settings: Settings, attributes: Attributes) -> list[Row]:
    """Read the items whose records have a title, categories or some of these attributes, by id."""
    records: dict[str, ItemRecord | None] = {}
    position, is_last = CataloguePosition(), False
    async with open_live_items(url, settings) as store:
        with progress("read", 0, "items") as bar:
            while not is_last:
                changes = await store.read_changes(position, STEP_CHANGES)
                if changes.restarts:
                    records.clear()
                records |= changes.records
                position, is_last = changes.position, changes.is_last
                bar.advance(len(changes.records))
    rows = (
        (item_id, record.title, list(record.categories or ()), _select_rows(record, attributes))
        for item_id, record in sorted(records.items())
        if record is not None
    )
    return [row for row in rows if any(row[1:])]


def _select_rows(record: ItemRecord, attributes: Attributes) -> list[AttributeRow]:
    values = record.attributes
    return make_attribute_rows(
        values if attributes is None else {name: value for name, value in values.items() if name in attributes}
    )
