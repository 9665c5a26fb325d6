"""`nextup similar`: items whose vectors are nearest to an item's, from a running service or from an artifact."""

import json
import sys
from typing import Any

from app.cli.answers import check_source, format_items
from app.cli.running_service import ADDRESS_SETTINGS, find_service
from app.commands.direct_answers import answer_directly
from app.commands.options.similar import SimilarOptions
from app.environment import load_settings
from app.errors import NotFound
from app.inference.query import SimilarQuery
from models.catalogue.item_key import item_keys


def run(arguments: SimilarOptions) -> int:
    check_source(arguments.artifact, arguments.url, arguments.key)
    answer = _ask_service(arguments) if arguments.artifact is None else _ask_artifact(arguments)
    print(f"similar to {arguments.item} by cosine, version {answer['model_version']}:")
    if answer["items"]:
        print(format_items(answer["items"]))
    else:
        print("no item is left; loosen --categories and --exclude", file=sys.stderr)
    print(json.dumps({"item_id": arguments.item, **answer}))
    return 0


def _ask_service(arguments: SimilarOptions) -> dict[str, Any]:
    service = find_service(load_settings(ADDRESS_SETTINGS), url=arguments.url, key=arguments.key)
    body: dict[str, Any] = {"item_id": arguments.item, "k": arguments.k, "include": ["title", "categories"]}
    filters = {"categories": arguments.categories or [], "exclude": arguments.exclude or []}
    return service.post("/similar", body | filters)


def _ask_artifact(arguments: SimilarOptions) -> dict[str, Any]:
    assert arguments.artifact is not None
    query = SimilarQuery(
        arguments.item, arguments.k, item_keys(arguments.exclude or []), tuple(arguments.categories or ())
    )
    try:
        top, items = answer_directly(arguments.artifact, query)
    except NotFound as error:
        raise ValueError(f"{error}; `nextup items {arguments.artifact} --find TEXT` searches ids and titles") from error
    return {"items": items, "model_version": top.version}
