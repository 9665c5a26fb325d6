"""What the service does to its process, and takes back."""

import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def test_the_collector_is_spared_the_model_only_while_the_service_runs(
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    gc.unfreeze()
    async with service_with():
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0
