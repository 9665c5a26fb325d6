"""The 64-bit keys under which histories store items, for those who may not import models: they are models' own."""

from models.catalogue.item_key import ItemKeys, item_key, item_keys

__all__ = ["ItemKeys", "item_key", "item_keys"]
