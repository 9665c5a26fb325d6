"""Redis and the service are killed under load: every acknowledged event is stored once, in order.

The short form of `python -m service_tests.failures.kill_table`, whose figures are in docs/benchmarks/failover.md.
"""

from collections.abc import Iterator

import pytest

from service_tests.failures.event_comparison import FAULTS
from service_tests.failures.kill_table import PLACES, KilledService, Victim, run_kills

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.slow]

EVENTS_PER_S = 300


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KilledService]:
    service = KilledService(tmp_path_factory.mktemp("kills"))
    service.start()
    yield service
    service.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("victim", "kills"), [("redis", 3), ("service", 1), ("both", 1)])
async def test_acknowledged_events_survive_kills(service: KilledService, victim: Victim, kills: int) -> None:
    figures = await run_kills(service, victim, kills, seed=7, events_per_s=EVENTS_PER_S)
    assert figures["acknowledged"], "events were stored"
    assert figures["calls_repeated"], "and some calls met the failure"
    for place in PLACES:
        assert {fault: figures[f"{place}_{fault}"] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert "Traceback" not in service.read_log()
