"""Searches in the catalogue: each in a thread, one at a time, and one on behalf of all callers with the same text."""

import asyncio

from app.errors import DeadlineExceeded, Overloaded
from app.inference import Engine
from app.inference.item_search import ItemMatches, search_items
from app.items.list_schemas import ItemList, ListedItem
from app.live_catalogue.details import ItemDetails
from app.live_catalogue.titles import LiveTitleReader
from app.telemetry.metrics import REJECTED

MAX_PENDING = 16
"""Searches that may wait; more are rejected."""
DETAILS_SHARE = 0.5
"""Share of the remaining time that the read of live titles may take."""

SearchKey = tuple[str, str, int]
"""Version, text and limit of a search."""


class ItemSearch:
    """Belongs to the event loop."""

    def __init__(self, engine: Engine, details: ItemDetails, titles: LiveTitleReader) -> None:
        self._engine = engine
        self._details = details
        self._titles = titles
        self._tasks: dict[SearchKey, asyncio.Task[ItemMatches]] = {}
        self._is_running = asyncio.Lock()

    async def find(self, text: str, limit: int, deadline: float) -> ItemList:
        """Find items by id and title before `deadline`, a value of the running loop's `time()`.

        Overloaded if too many searches wait, DeadlineExceeded if this one waits too long.
        """
        try:
            async with asyncio.timeout_at(deadline):
                matches = await asyncio.shield(self._start(text, limit))
        except TimeoutError:
            raise DeadlineExceeded("search: the deadline passed before the catalogue was searched") from None
        loop = asyncio.get_running_loop()
        read_until = loop.time() + DETAILS_SHARE * (deadline - loop.time())
        records = await self._details.read([item.item_id for item in matches.items], read_until)
        items = []
        for item in matches.items:
            record = records.get(item.item_id)
            title = item.title if record is None or record.title is None else record.title
            items.append(
                ListedItem(
                    item_id=item.item_id, title=title, categories=list(item.categories), available=item.available
                )
            )
        return ItemList(items=items, complete=matches.is_complete)

    def _start(self, text: str, limit: int) -> asyncio.Task[ItemMatches]:
        key = self._engine.servable.version, text, limit
        if (task := self._tasks.get(key)) is None:
            if len(self._tasks) >= MAX_PENDING:
                REJECTED.labels("overloaded").inc()
                raise Overloaded(f"search: {MAX_PENDING} searches already wait; retry later")
            self._tasks[key] = task = asyncio.create_task(self._run(text, limit), name="item-search")
            task.add_done_callback(lambda _: self._tasks.pop(key))
        return task

    async def _run(self, text: str, limit: int) -> ItemMatches:
        async with self._is_running:
            titles = await self._titles.read()
            return await asyncio.to_thread(search_items, self._engine.servable, text, limit, titles)
