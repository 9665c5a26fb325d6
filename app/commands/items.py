"""`nextup items`: the items of an artifact, by falling popularity, with their ids, titles and categories."""

import json
from collections.abc import Iterator

from app.cli.answers import format_items
from app.commands.options.items import ItemsOptions
from app.model_repository.repository import ModelRepository
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import open_catalogue


def run(arguments: ItemsOptions) -> int:
    catalogue = open_catalogue(ModelRepository(arguments.artifact).find_target_folder())
    matches = list(_find_matches(catalogue, arguments))
    items = [
        {
            "item_id": catalogue.item_id(index),
            "rank": index,
            "events": catalogue.count(index),
            "title": catalogue.title(index),
            "categories": list(catalogue.get_categories(index)),
        }
        for index in matches[: arguments.limit]
    ]
    print(f"{len(items):,} of {len(matches):,} matching items, of {catalogue.num_items:,} in the catalogue:")
    if items:
        print(format_items(items))
    print(json.dumps({"items": items, "matches": len(matches), "catalogue": catalogue.num_items}))
    return 0


def _find_matches(catalogue: Catalogue, arguments: ItemsOptions) -> Iterator[int]:
    """Yield catalogue indices; the index is the rank by popularity."""
    text = (arguments.find or "").casefold()
    for index in range(1, catalogue.num_items + 1):
        if arguments.category is not None and arguments.category not in catalogue.get_categories(index):
            continue
        if not text or text in catalogue.item_id(index).casefold() or text in (catalogue.title(index) or "").casefold():
            yield index
