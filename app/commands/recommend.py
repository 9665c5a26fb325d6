"""`nextup recommend`: the next items of a user, from a running service or directly from an artifact."""

import asyncio
import json
import sys
import time
from typing import Any

from app.cli.answers import check_source, format_items
from app.cli.running_service import ADDRESS_SETTINGS, find_service
from app.commands.direct_answers import answer_directly
from app.commands.options.recommend import RecommendOptions
from app.environment import STORE_SETTINGS, load_settings
from app.inference.query import Query
from app.settings import Settings
from app.stores.results import EMPTY_HISTORY, StoredHistory
from app.stores.session import open_store, redis_url
from models.catalogue.item_key import item_keys

NOTES = {
    "unknown_user": "the user has no stored history, so these are popular items; store one (`nextup load`, "
    "POST /events), or pass --history",
    "no_known_items": "no item of the history is in the catalogue, so these are popular items; check the item ids",
    "no_eligible_items": "no item is left; loosen --categories and --exclude, or pass --include-seen",
    "overloaded": "the service is overloaded, so these are popular items; try again",
    "model_unavailable": "the model process does not answer, so these are popular items; check the service's log",
    "store_unavailable": "Redis does not answer, so these are popular items; check the service's log",
}


def run(arguments: RecommendOptions) -> int:
    if arguments.user is None and arguments.history is None:
        raise ValueError("USER or --history is required; name a user with a stored history, or list items")
    check_source(arguments.artifact, arguments.url, arguments.key)
    answer = _ask_service(arguments) if arguments.artifact is None else _ask_artifact(arguments)
    print(_describe(arguments, answer))
    if answer["items"]:
        print(format_items(answer["items"]))
    if answer["reason"] is not None:
        print(NOTES.get(answer["reason"], answer["reason"]), file=sys.stderr)
    print(json.dumps({"user_id": arguments.user, **answer}))
    return 0


def _describe(arguments: RecommendOptions, answer: dict[str, Any]) -> str:
    person = "this history" if arguments.history is not None else f"user {arguments.user}"
    return f"for {person} with {answer['history_length']:,} events, version {answer['model_version']}:"


def _ask_service(arguments: RecommendOptions) -> dict[str, Any]:
    service = find_service(load_settings(ADDRESS_SETTINGS), url=arguments.url, key=arguments.key)
    body: dict[str, Any] = {
        "k": arguments.k,
        "exclude_seen": not arguments.include_seen,
        "explain": arguments.explain,
        "include": ["title", "categories"],
    }
    # A history is sent alone, so that a user does not need to exist.
    source = {"user_id": arguments.user} if arguments.history is None else {"history": arguments.history}
    filters = {"categories": arguments.categories or [], "exclude": arguments.exclude or []}
    return service.post("/recommend", body | source | filters)


def _ask_artifact(arguments: RecommendOptions) -> dict[str, Any]:
    assert arguments.artifact is not None
    stored = EMPTY_HISTORY
    if arguments.history is None:
        settings = load_settings(STORE_SETTINGS)
        with redis_url(settings) as url:
            stored = asyncio.run(_read_history(url, settings, arguments.user or ""))
    keys = stored.item_keys if arguments.history is None else item_keys(arguments.history)
    query = Query(
        history=keys,
        k=arguments.k,
        exclude_seen=not arguments.include_seen,
        exclude=item_keys(arguments.exclude or []),
        categories=tuple(arguments.categories or ()),
        times=stored.times if arguments.history is None else None,
        request_time=int(time.time()),
        explain=arguments.explain,
    )
    top, items = answer_directly(arguments.artifact, query)
    reason = None
    if not items:
        reason = "no_eligible_items"
    elif top.source == "popularity":
        reason = "no_known_items" if len(keys) else "unknown_user"
    return {
        "items": items,
        "served_by": top.source,
        "reason": reason,
        "model_version": top.version,
        "history_length": len(keys),
    }


async def _read_history(url: str, settings: Settings, user_id: str) -> StoredHistory:
    async with open_store(url, settings) as store:
        return await store.read_recent(user_id)
