"""Bulk-load items into the live catalogue, which every worker of a service follows.

Loading is idempotent: an item that the live catalogue already has like this counts as unchanged. The last row of an
item wins.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.cli.catalogue_file import iter_batches
from app.items.entries import FAILURES
from app.items.records import make_record
from app.items.schemas import Item
from app.settings import Settings
from app.stores.session import open_live_items
from models.data.bad_rows import MAX_EXAMPLES, BadInput, BadRow
from models.data.formats import DataFile
from models.progress import progress

BATCH_ITEMS = 1_000
STATUSES = ("created", "updated", "unchanged", "invalid", "failed")


@dataclass(slots=True)
class LoadReport:
    """Outcomes of the rows of a file; `examples` are the first invalid rows."""

    statuses: Counter[str] = field(default_factory=Counter)
    examples: list[BadRow] = field(default_factory=list)
    failure: str | None = None

    @property
    def rows(self) -> int:
        return self.statuses.total()

    def to_json(self) -> dict[str, int]:
        return {"rows": self.rows, **{status: self.statuses[status] for status in STATUSES}}

    def format_lines(self) -> list[str]:
        """Format the invalid rows for standard error."""
        lines = [str(row) for row in self.examples]
        more = self.statuses["invalid"] - len(lines)
        return [*lines, f"… and {more:,} more invalid rows"] if more > 0 else lines

    def add_invalid(self, row: BadRow) -> None:
        self.statuses["invalid"] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(row)

    def add_outcome(self, outcome: str) -> None:
        self.statuses["failed" if outcome in FAILURES else outcome] += 1
        self.failure = FAILURES.get(outcome, self.failure)


async def load_items(url: str, settings: Settings, file: DataFile, items: Iterator[Item | BadRow]) -> LoadReport:
    """Put the items of a file; BadInput if it has no valid one, StoreUnavailable if Redis does not answer."""
    report = LoadReport()
    async with open_live_items(url, settings) as store:  # before the file is read
        with progress("load", 0, "items") as bar:
            for batch in iter_batches(items, BATCH_ITEMS):
                for row in batch:
                    if isinstance(row, BadRow):
                        report.add_invalid(row)
                valid = [item for item in batch if isinstance(item, Item)]
                for outcome in await store.put([(item.item_id, make_record(item)) for item in valid]):
                    report.add_outcome(outcome)
                bar.advance(len(batch))
    if not report.rows:
        raise BadInput(f"{file}: the file has no items")
    if report.rows == report.statuses["invalid"]:
        raise BadInput(f"{file}: no item is valid, so none is loaded: {report.examples[0]}")
    return report
