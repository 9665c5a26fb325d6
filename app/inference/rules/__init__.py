"""Rules of a query: boosts, promotions, limits per value and diversity, applied within the search."""

from app.inference.rules.item_rules import Boost, ItemRules, Promotion

__all__ = ["Boost", "ItemRules", "Promotion"]
