"""/items: the live catalogue over that of the serving version, and searches in both."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import JSONResponse

from app.http.dependencies import Deadline, get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.items.list_schemas import ItemFollowers, ItemList
from app.items.schemas import (
    CatalogueItem,
    ItemPatchesRequest,
    ItemResult,
    ItemsRequest,
    ItemsResponse,
    RemovedItem,
)
from app.items.search import ItemSearch
from app.items.service import ItemService
from app.runtime.pacing import Pacer

router = APIRouter(prefix="/items", tags=["items"], route_class=WholePathRoute)
Service = Annotated[ItemService, Depends(get_state("items"))]
Search = Annotated[ItemSearch, Depends(get_state("item_search"))]
MAX_LISTED, MAX_QUERY = 100, 256
ItemId = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("", operation_id="search_items", responses=declare_errors(503, 504))
async def search_items(
    search: Search,
    deadline: Deadline,
    query: Annotated[str, Query(max_length=MAX_QUERY, description="part of an id or a title, in any case")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="most items to return")] = 20,
) -> ItemList:
    """Find items: the exact id, then ids and titles that begin with the text, then those that contain it.

    Each by falling popularity in training, then new items of the live catalogue; without a text, all items. Titles are
    those of training and of the items of the live catalogue that changed last.
    """
    return await search.find(query, limit, deadline)


@router.put("", operation_id="put_items", response_model=ItemsResponse, responses=declare_errors(503))
async def put_items(body: ItemsRequest, service: Service) -> JSONResponse:
    """Set 1 to 1,000 items of the live catalogue, each as a whole. Idempotent. Every worker follows within a second.

    An unavailable item is in no answer. Items are validated one by one; 422 if none is valid.
    """
    return await _respond(await service.put(body.items))


@router.patch("", operation_id="patch_items", response_model=ItemsResponse, responses=declare_errors(503))
async def patch_items(body: ItemPatchesRequest, service: Service) -> JSONResponse:
    """Change fields of 1 to 1,000 items; fields that are absent stay as they are.

    Null sets a field to its default and removes an attribute. An item that the live catalogue does not have is created.
    """
    return await _respond(await service.patch(body.items))


@router.get("/{item_id:id}/followers", operation_id="list_followers", responses=declare_errors(404, 503))
async def followers(
    item_id: ItemId,
    service: Service,
    k: Annotated[int, Query(ge=1, le=MAX_LISTED, description="most followers to return")] = 10,
) -> ItemFollowers:
    """Return the popularity of an item, and the items that followed it most often in training."""
    return await service.read_followers(item_id, k)


@router.get("/{item_id:id}", operation_id="read_item", responses=declare_errors(404, 503))
async def item(item_id: ItemId, service: Service) -> CatalogueItem:
    """Return title, categories, popularity, availability and attributes of an item."""
    return await service.read(item_id)


@router.delete("/{item_id:id}", operation_id="remove_item", responses=declare_errors(404, 503))
async def remove_item(item_id: ItemId, service: Service) -> RemovedItem:
    """Remove an item from the live catalogue: it is as in training again, and so available. 404 if it is not there."""
    await service.remove(item_id)
    return RemovedItem(item_id=item_id)


async def _respond(results: Sequence[ItemResult]) -> JSONResponse:
    counts: Counter[str] = Counter(result.status for result in results)
    pacer, entries = Pacer(), []
    for result in results:
        entries.append(result.model_dump(exclude_none=True) | {"item_id": result.item_id})
        await pacer.pause_if_due()
    statuses = ("created", "updated", "unchanged", "invalid", "failed")
    return JSONResponse({"results": entries} | {status: counts[status] for status in statuses})
