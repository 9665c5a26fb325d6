"""Writes and reads of the live catalogue: an invalid item does not affect the others."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from app.errors import NotFound, StoreUnavailable
from app.http.field_problems import reject_all
from app.inference import Engine, list_followers
from app.items.entries import Entry, make_result, parse_item
from app.items.list_schemas import Follower, ItemFollowers, Popularity
from app.items.mixed_values import find_warnings
from app.items.records import make_edit, make_record
from app.items.schemas import MAX_FIELD_ERRORS, CatalogueItem, Item, ItemPatch, ItemResult
from app.live_catalogue.follower import CatalogueFollower
from app.runtime.pacing import Pacer
from app.stores.item_records import ItemRecord
from app.stores.live_items import LiveItemStore
from app.telemetry.catalogue_metrics import ITEM_CHANGES


class ItemService:
    def __init__(self, store: LiveItemStore, follower: CatalogueFollower, engine: Engine) -> None:
        self._store = store
        self._follower = follower
        self._engine = engine

    async def put(self, raw_items: Sequence[Any]) -> list[ItemResult]:
        """Replace items; InvalidRequest if every item is invalid. Sending the same items again changes nothing."""

        async def write(items: Sequence[Item]) -> list[str]:
            return await self._store.put([(item.item_id, make_record(item)) for item in items])

        return await self._change(raw_items, Item, write)

    async def patch(self, raw_patches: Sequence[Any]) -> list[ItemResult]:
        """Change fields of items; InvalidRequest if every patch is invalid."""

        async def write(patches: Sequence[ItemPatch]) -> list[str]:
            return await self._store.edit([(patch.item_id, make_edit(patch)) for patch in patches])

        return await self._change(raw_patches, ItemPatch, write)

    async def remove(self, item_id: str) -> None:
        """Remove the record of an item, which is as in training then; NotFound if there is none."""
        (outcome,) = await self._store.remove([item_id])
        ITEM_CHANGES.labels(outcome).inc()
        if outcome == "absent":
            raise NotFound(f"the live catalogue has no item {item_id!r}")
        await self._catch_up()

    async def read(self, item_id: str) -> CatalogueItem:
        """Read an item; without Redis, as in training."""
        serving = self._engine.servable  # read once: a hot swap may replace it
        catalogue, rank = serving.catalogue, serving.catalogue.find_index(item_id)
        try:
            (record,) = await self._store.read([item_id])
        except StoreUnavailable:
            if rank is None:
                raise
            record = None
        if rank is None and record is None:
            raise _describe_absence(serving.version, item_id)
        record = record or ItemRecord()
        title = catalogue.title(rank) if record.title is None and rank is not None else record.title
        trained = () if rank is None else catalogue.get_categories(rank)
        return CatalogueItem(
            item_id=item_id,
            title=title,
            categories=list(trained if record.categories is None else record.categories),
            rank=rank,
            count=0 if rank is None else catalogue.count(rank),
            available=record.available,
            attributes=record.attributes,
            url=record.url,
            image_url=record.image_url,
        )

    async def read_followers(self, item_id: str, k: int) -> ItemFollowers:
        """Read the popularity of an item and its k most frequent followers; NotFound as in `read`.

        Answers without Redis, as far as this process follows the live catalogue.
        """
        serving = self._engine.servable
        catalogue, rank = serving.catalogue, serving.catalogue.find_index(item_id)
        if rank is None and not serving.live.live.is_listed(item_id):
            raise _describe_absence(serving.version, item_id)
        followers = [] if rank is None else list_followers(serving, rank, k)
        return ItemFollowers(
            item_id=item_id,
            popularity=Popularity(
                events=0 if rank is None else catalogue.count(rank), rank=rank, items=catalogue.num_items
            ),
            followers=[Follower(item_id=follower, weight=weight) for follower, weight in followers],
        )

    async def _change(
        self, raw_items: Sequence[Any], model: type[Entry], write: Callable[[Sequence[Entry]], Awaitable[list[str]]]
    ) -> list[ItemResult]:
        pacer, parsed = Pacer(), []
        for raw in raw_items:
            parsed.append(parse_item(raw, model))
            await pacer.pause_if_due()
        valid = [entry for entry in parsed if not isinstance(entry, ItemResult)]
        if not valid:
            raise reject_all("items", "item", [entry.errors for entry in parsed if isinstance(entry, ItemResult)])
        outcomes = iter(await write(valid))
        known = self._engine.servable.catalogue.select_known([entry.item_id for entry in valid])
        results = []
        for entry in parsed:
            await pacer.pause_if_due()
            if isinstance(entry, ItemResult):
                results.append(entry)
            else:
                results.append(make_result(entry.item_id, next(outcomes), is_known=entry.item_id in known))
        for status, count in Counter(result.status for result in results).items():
            ITEM_CHANGES.labels(status).inc(count)
        await self._catch_up()
        columns = self._engine.servable.live.live.attributes
        warnings = iter(await find_warnings(columns, [entry.attributes for entry in valid]))
        for entry, result in zip(parsed, results, strict=True):
            if entry is not result and (own := next(warnings)):
                result.warnings = own[:MAX_FIELD_ERRORS]
        return results

    async def _catch_up(self) -> None:
        """Let this process see its own change at once; the others follow."""
        with suppress(StoreUnavailable):
            await self._follower.catch_up()


def _describe_absence(version: str, item_id: str) -> NotFound:
    return NotFound(f"the catalogue of version {version}, with the live one, has no item {item_id!r}")
