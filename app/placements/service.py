"""Writes and reads of placements."""

from contextlib import suppress

from app.errors import InvalidRequest, NotFound, StoreUnavailable
from app.placements.schemas import Placement, PlacementReceipt
from app.rules.follower import PlacementFollower, decode_all
from app.rules.reader import RuleReader
from app.rules.settings import PlacementSettings
from app.stores.placements import PlacementStore


class PlacementService:
    def __init__(self, store: PlacementStore, follower: PlacementFollower, rules: RuleReader, *, max_k: int) -> None:
        self._store = store
        self._follower = follower
        self._rules = rules
        self._max_k = max_k

    async def put(self, name: str, settings: PlacementSettings) -> PlacementReceipt:
        """Store the settings of a placement; InvalidRequest if a filter is wrong, or there are too many placements."""
        if settings.k > self._max_k:
            raise InvalidRequest.for_field("k", f"must be at most {self._max_k} (NEXTUP_MAX_K), got {settings.k}")
        self._rules.read(settings)  # InvalidRequest names the part that is wrong
        outcome = await self._store.put(name, settings.encode())
        if outcome == "full":
            raise InvalidRequest.for_field(
                "name", f"there are {self._store.max_placements} placements, which is the most; remove one"
            )
        await self._catch_up()
        return PlacementReceipt.model_validate({"name": name, "status": outcome})

    async def remove(self, name: str) -> None:
        if not await self._store.remove(name):
            raise _describe_absence(name)
        await self._catch_up()

    async def read(self, name: str) -> Placement:
        for placement in await self.list():
            if placement.name == name:
                return placement
        raise _describe_absence(name)

    async def list(self) -> list[Placement]:
        """List all placements, in the order of their names."""
        settings = decode_all(await self._store.read())
        return [Placement(name=name, settings=settings[name]) for name in sorted(settings)]

    async def _catch_up(self) -> None:
        """Let this process see its own change immediately; the others follow."""
        with suppress(StoreUnavailable):
            await self._follower.catch_up()


def _describe_absence(name: str) -> NotFound:
    return NotFound(f"there is no placement {name!r}; GET /placements lists them")
