"""An entry of a batcher's queue: an item, the caller that waits for its result, and its deadline."""

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class QueueEntry(Generic[Item, Result]):
    """Times are those of the running loop; a probe measures liveness and counts in no metric."""

    item: Item
    waiter: asyncio.Future[Result]
    arrived_at: float
    deadline: float | None
    cost: float
    is_probe: bool = False
