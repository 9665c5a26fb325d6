"""A shop with product pages that recommend further products.

    uvicorn --factory examples.shop:create_app --port 8080

Clicks name the recommendation that they came from, so that the service counts click-through. A page never waits for
more than 200 ms for recommendations, and is shown without them while the service is away.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import uuid4

from fastapi import Cookie, FastAPI
from fastapi.responses import HTMLResponse

import nextup

Visitor = Annotated[str | None, Cookie()]

SERVICE = "http://127.0.0.1:8000"
PAGE_DEADLINE_S = 0.2


def create_app(service: str = SERVICE, spool: str = "events.spool", deadline_s: float = PAGE_DEADLINE_S) -> FastAPI:
    """Create the shop; `spool` keeps clicks while the service is away."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nextup.AsyncClient(service) as client:
            with nextup.Client(service) as sender:
                app.state.client, app.state.events = client, nextup.EventBuffer(sender, spool=spool)
                yield
                app.state.events.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/products/{product:path}")  # an id may have slashes
    async def show_product(
        product: str, visitor: Visitor = None, recommendation_id: str | None = None, position: int | None = None
    ) -> HTMLResponse:
        """Show a product; the query says which recommendation the visitor followed."""
        visitor = visitor or uuid4().hex
        if recommendation_id is None or position is None:
            app.state.events.add(user_id=visitor, item_id=product, type="view")
        else:
            app.state.events.add(
                user_id=visitor,
                item_id=product,
                type="click",
                recommendation_id=recommendation_id,
                position=position,
            )
        row = await find_row(app.state.client, visitor, product)
        page = HTMLResponse(f"<!doctype html><title>{escape(product)}</title><h1>{escape(product)}</h1>{row}")
        page.set_cookie("visitor", visitor, httponly=True, samesite="lax")
        return page

    async def find_row(client: nextup.AsyncClient, visitor: str, product: str) -> str:
        try:
            answer = await client.recommend(
                user_id=visitor, k=4, exclude=[product], include=["title"], deadline_s=deadline_s
            )
        except nextup.NextupError:
            return ""
        links = []
        for position, item in enumerate(answer.items, 1):
            source = urlencode({"recommendation_id": answer.recommendation_id, "position": position})
            address = f"/products/{quote(item.item_id, safe='')}?{source}"
            links.append(f'<li><a href="{escape(address)}">{escape(item.title or item.item_id)}</a>')
        return f"<h2>You may also like</h2><ul>{''.join(links)}</ul>"

    return app
