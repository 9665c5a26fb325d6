"""Masks of filters, cached by expression until the live catalogue changes."""

from collections.abc import Sequence

from app.inference.filters.boost_classes import NO_BOOSTS, BoostClassCache, BoostClasses, Key
from app.inference.filters.evaluation import evaluate
from app.inference.filters.expression import ItemFilter
from app.inference.live.combined_masks import CombinedMasks
from app.inference.live.item_values import ValueSelections
from app.inference.live.mask_cache import Mask, MaskCache
from app.inference.live.version_view import VersionView
from app.inference.rules import Boost, ItemRules

MAX_INLINE_ITEMS = 20_000
"""Items over which a filter is evaluated in an event loop: some 0.1 ms per comparison."""


class FilterMasks:
    """Masks over the catalogue of one version; any thread may use them."""

    def __init__(self, view: VersionView) -> None:
        self._view = view
        self._masks = MaskCache()
        self._boost_classes = BoostClassCache()
        self.combined = CombinedMasks()
        self.values = ValueSelections(view)
        """Values of single items, which rules limit."""

    @property
    def is_large(self) -> bool:
        """Whether a pass over all items would hold an event loop up for milliseconds."""
        return max(self._view.num_items, self._view.live.count) > MAX_INLINE_ITEMS

    def is_cached(self, item_filter: ItemFilter) -> bool:
        return self._masks.has(item_filter.text, self._view.live.revision)

    def is_long(self, item_filter: ItemFilter | None, rules: ItemRules | None = None) -> bool:
        """Whether the masks of a query have to be computed, and this would hold an event loop up for milliseconds."""
        if not self.is_large:
            return False
        filters = [] if item_filter is None else [item_filter]
        if rules is not None:
            filters += [promotion.item_filter for promotion in rules.promotions]
            key, revision = make_boost_key(rules.boosts), self._view.live.revision
            if rules.boosts and self._boost_classes.find(key, revision) is None:
                return True
        return not all(map(self.is_cached, filters))

    def prepare(self, item_filter: ItemFilter | None, rules: ItemRules | None = None) -> None:
        """Compute the masks of a query, which its batch then finds."""
        if item_filter is not None:
            self.find_matches(item_filter)
        if rules is not None:
            self.find_boost_classes(rules.boosts)
            for promotion in rules.promotions:
                self.find_matches(promotion.item_filter)

    def find_matches(self, item_filter: ItemFilter) -> Mask:
        """(num_items + 1,) items that match; must not be changed."""
        revision = self._view.live.revision  # before the evaluation, which may see a later change in part
        return self._masks.get_or_compute(item_filter.text, revision, lambda: self._evaluate(item_filter))

    def find_boost_classes(self, boosts: Sequence[Boost]) -> BoostClasses:
        """Group all items by the sum of their boosts; the masks must not be changed."""
        if not boosts:
            return NO_BOOSTS
        key, revision = make_boost_key(boosts), self._view.live.revision
        classes = self._boost_classes.find(key, revision)
        if classes is None:
            masks = [self.find_matches(boost.item_filter) for boost in boosts]
            classes = BoostClasses.from_masks(masks, [boost.add for boost in boosts])
            self._boost_classes.put(key, revision, classes)
        return classes

    def _evaluate(self, item_filter: ItemFilter) -> Mask:
        mask = evaluate(item_filter.expression, self._view)
        mask[0] = False
        return mask


def make_boost_key(boosts: Sequence[Boost]) -> Key:
    """Make the key of boosts that add the same to the same items."""
    return tuple((boost.item_filter.text, boost.add) for boost in boosts)
