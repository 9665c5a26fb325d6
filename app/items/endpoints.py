"""GET /items/{id}: the catalogue of the serving version."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.errors import NotFound
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.inference import Engine as AnyEngine
from app.items.schemas import CatalogueItem

router = APIRouter(prefix="/items", tags=["items"], route_class=WholePathRoute)
Engine = Annotated[AnyEngine, Depends(get_state("engine"))]


@router.get("/{item_id:id}", operation_id="read_item", responses=declare_errors(404))
async def item(item_id: Annotated[str, Path(min_length=1, max_length=128)], engine: Engine) -> CatalogueItem:
    """Return title, categories and popularity of an item."""
    servable = engine.servable  # read once: a hot swap may replace it
    catalogue = servable.catalogue
    rank = catalogue.find_index(item_id)
    if rank is None:
        raise NotFound(f"the catalogue of version {servable.version} has no item {item_id!r}")
    return CatalogueItem(
        item_id=item_id,
        title=catalogue.title(rank),
        categories=list(catalogue.get_categories(rank)),
        rank=rank,
        count=catalogue.count(rank),
    )
