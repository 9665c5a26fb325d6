"""Records of the live catalogue from items and patches of requests."""

from typing import Any

from app.items.schemas import MAX_ATTRIBUTES, MAX_ITEM_BYTES, Item, ItemPatch
from app.stores.item_records import AttributeValue, ItemRecord, encode_record
from app.stores.live_items import Edit


def make_record(item: Item) -> ItemRecord:
    """Make the record of an item; categories that are named twice count once."""
    return ItemRecord(
        title=item.title,
        categories=None if item.categories is None else tuple(dict.fromkeys(item.categories)),
        available=item.available,
        attributes=item.attributes,
        url=item.url,
        image_url=item.image_url,
    )


def make_edit(patch: ItemPatch) -> Edit:
    """Make the edit of a record that a patch describes; it refuses more than MAX_ATTRIBUTES or MAX_ITEM_BYTES.

    Items of any size can become unavailable. Attributes are merged by name, as in a JSON merge patch (RFC 7396).
    """
    changes: dict[str, Any] = {name: getattr(patch, name) for name in patch.model_fields_set - {"item_id"}}

    def edit(record: ItemRecord | None) -> ItemRecord | None:
        record = record or ItemRecord()
        attributes = _merge(record.attributes, patch) if "attributes" in changes else record.attributes
        if len(attributes) > MAX_ATTRIBUTES:
            return None
        categories = changes.get("categories", record.categories)
        available = changes.get("available", record.available)
        edited = ItemRecord(
            title=changes.get("title", record.title),
            categories=None if categories is None else tuple(dict.fromkeys(categories)),
            available=True if available is None else available,
            attributes=attributes,
            url=changes.get("url", record.url),
            image_url=changes.get("image_url", record.image_url),
        )
        is_small = changes.keys() <= {"available"} or len(encode_record(edited)) <= MAX_ITEM_BYTES
        return edited if is_small else None

    return edit


def _merge(attributes: dict[str, AttributeValue], patch: ItemPatch) -> dict[str, AttributeValue]:
    if patch.attributes is None:
        return {}
    merged = attributes | patch.attributes
    return {name: value for name, value in merged.items() if value is not None}
