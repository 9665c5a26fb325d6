"""The history that a request reads, and what follows when the store cannot give it."""

import time

from app.errors import DamagedHistory, DeadlineExceeded, HistoryBehind, InvalidRequest, Overloaded, StoreUnavailable
from app.recommend.fast_schema import RecommendParams
from app.recommend.store_budget import StoreBudget
from app.stores.errors import InvalidId
from app.stores.history import HistoryStore
from app.stores.results import EMPTY_HISTORY, StoredHistory
from app.telemetry.request_context import Stage


async def read_history(
    store: HistoryStore, request: RecommendParams, budget: StoreBudget, times: dict[str, Stage]
) -> tuple[StoredHistory, str | None]:
    """Read the stored history; also return the reason if the model cannot answer for it.

    With `min_history_version`, a history that is not as new, or cannot be read, is a ServiceError.
    """
    if request.history is not None or request.user_id is None:
        return EMPTY_HISTORY, None if request.history else "no_known_items"
    started_at = time.perf_counter()
    try:
        stored = await store.read_recent(request.user_id, budget.start())
    except InvalidId as error:
        raise InvalidRequest.for_field("user_id", str(error).removeprefix("user_id ")) from error
    except (StoreUnavailable, Overloaded):
        if request.min_history_version:
            raise
        return EMPTY_HISTORY, "store_unavailable"
    except DeadlineExceeded:
        if budget.is_request_late:
            raise
        if request.min_history_version:
            raise StoreUnavailable(f"Redis did not answer within {budget.seconds:.3f} s; retry later") from None
        return EMPTY_HISTORY, "store_unavailable"
    except DamagedHistory:
        if request.min_history_version:
            raise
        return EMPTY_HISTORY, "damaged_history"
    finally:
        budget.stop()
    times["store"] = started_at, time.perf_counter() - started_at
    if request.min_history_version is not None and stored.version < request.min_history_version:
        raise HistoryBehind(
            f"the stored history has version {stored.version}, required: {request.min_history_version}; retry later"
        )
    return stored, None if len(stored) else "unknown_user"
