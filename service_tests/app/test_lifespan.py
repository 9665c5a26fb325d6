"""The lifespan freezes the heap and unfreezes it again."""

import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def test_heap_is_frozen_only_while_the_service_runs(
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    gc.unfreeze()
    async with service_with():
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0
