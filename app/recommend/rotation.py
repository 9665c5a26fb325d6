"""Rotation: items that were shown to the user lately, and not clicked, come later in an answer."""

import time
from contextlib import suppress
from dataclasses import replace

from app.errors import Overloaded, StoreUnavailable
from app.inference.rules import ItemRules
from app.recommend.fast_schema import RecommendParams
from app.recommend.store_budget import StoreBudget
from app.stores.impressions import ImpressionStore

NO_RULES = ItemRules()


class Rotation:
    def __init__(self, store: ImpressionStore | None) -> None:
        """Without a store, no item was ever shown."""
        self._store = store

    async def apply(self, rules: ItemRules | None, request: RecommendParams, budget: StoreBudget) -> ItemRules | None:
        """Add the shown items of the user to the rules of a request that rotates.

        The answer does not rotate if the request has no user, or Redis does not answer in its share of the deadline.
        """
        rotate = request.rotate
        if rotate is None or request.user_id is None or self._store is None or not rotate.penalty:
            return rules
        deadline = budget.start()
        shown = b""
        with suppress(TimeoutError, StoreUnavailable, Overloaded):
            since_s = time.time() - 60 * rotate.minutes
            shown = (await self._store.read_shown(request.user_id, since_s, deadline)).tobytes()
        budget.stop()
        return replace(rules or NO_RULES, shown=shown, penalty=float(rotate.penalty)) if shown else rules
