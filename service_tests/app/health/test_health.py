"""/livez, /readyz, /metrics and the page."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app.home.endpoints import FILES
from service_tests.support.service import Service, start_recommend, wait_until

pytestmark = pytest.mark.anyio

CONTRACT = """
nextup_http_requests_total nextup_http_request_duration_seconds nextup_stage_duration_seconds nextup_queue_depth
nextup_queue_wait_seconds nextup_batch_size nextup_batch_padding_ratio nextup_rejected_total nextup_cancelled_total
nextup_recommendations_total nextup_events_total nextup_event_visible_seconds nextup_history_length nextup_model_info
nextup_model_bytes nextup_model_uncompressed_bytes nextup_device_memory_bytes process_resident_memory_bytes
nextup_store_up nextup_store_memory_bytes nextup_store_errors_total nextup_store_duration_seconds
nextup_model_reload_total nextup_last_batch_timestamp_seconds nextup_memory_limit_bytes
nextup_store_startup_memory_bytes nextup_store_memory_limit_bytes nextup_store_keys nextup_restarts_total
""".split()  # noqa: SIM905 - names are easier to read and edit without quotes


async def test_running_service_is_live_and_ready(service: Service) -> None:
    for path in ("/livez", "/healthz", "/readyz"):
        response = await service.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_draining_service_is_live_but_not_ready(service: Service) -> None:
    service.state["health_monitor"].draining = True
    assert (await service.http.get("/livez")).status_code == 200
    response = await service.http.get("/readyz")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_model_that_makes_no_progress_fails_readiness_then_liveness(
    service_with: Callable[..., Any], model_process: str
) -> None:
    async with service_with(stall_s=3.0) as service:
        with service.model.engine.block_thread():
            assert (await start_recommend(service, "50")).status_code == 504
            await wait_until(lambda: service.model.engine.stalled_s > 2.1, 20)
            answer = await service.recommend(history=["i7"])
            assert (answer["served_by"], answer["reason"]) == ("popularity", "model_unavailable")
            assert (await service.http.get("/readyz")).status_code == 503
            assert (await service.http.get("/livez")).status_code == 200
            await wait_until(lambda: service.model.engine.stalled_s > 3.1, 20)
            if model_process == "in_process":  # otherwise the model process is replaced, not the worker
                response = await service.http.get("/livez")
                assert (response.status_code, response.json()["title"]) == (503, "Model unavailable")
        await wait_until(lambda: service.state["engine"].unavailable_reason is None, 20)
        for path in ("/livez", "/readyz"):
            assert (await service.http.get(path)).status_code == 200
        assert (await service.recommend(history=["i7"]))["served_by"] == "model"


async def test_every_metric_of_the_contract_is_exposed(service: Service) -> None:
    text = (await service.http.get("/metrics")).text
    declared = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert [name for name in CONTRACT if name not in declared] == []


async def test_store_metrics_report_memory_and_keys(service: Service, new_user: Callable[[], str]) -> None:
    await service.post_events(new_user(), "i7")  # the event log has a key of its own
    await service.state["health_monitor"].poll()
    keys = await service.read_metric("nextup_store_keys")
    await service.post_events(new_user(), "i7", "i8")
    await service.state["health_monitor"].poll()
    assert await service.read_metric("nextup_store_keys") == keys + 1, "one key per user without event ids"
    startup = await service.read_metric("nextup_store_startup_memory_bytes")
    assert 100_000 < startup < await service.read_metric("nextup_store_memory_bytes")
    assert await service.read_metric("nextup_store_memory_limit_bytes") == 0, "the embedded Redis has no maxmemory"


async def test_resident_memory_is_below_the_limit(service: Service) -> None:
    resident = await service.read_metric("process_resident_memory_bytes")
    assert 0 < resident < await service.read_metric("nextup_memory_limit_bytes")


async def test_both_text_formats_can_be_parsed(service: Service) -> None:
    plain = await service.http.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert list(parse_text(plain.text))
    accept = {"accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
    openmetrics = await service.http.get("/metrics", headers=accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert list(parse_openmetrics(openmetrics.text))  # type: ignore[no-untyped-call]


async def test_labels_contain_no_user_or_item(service: Service) -> None:
    await service.post_events("user-17", "i7")
    await service.recommend(user_id="user-17")
    await service.http.get("/users/user-17/history")
    await service.http.get("/user-17/nowhere")
    assert "user-17" not in (await service.http.get("/metrics")).text
    assert await service.read_metric('nextup_http_requests_total{code="404",method="GET",route="unmatched"}') >= 1


async def test_model_metrics_report_version_and_memory(service: Service) -> None:
    version = (await service.recommend(history=["i1"]))["model_version"]
    info = f'nextup_model_info{{device="cpu",dtype="float32",preset="sasrec",version="{version}"}}'
    assert await service.read_metric(info) == 1
    assert await service.read_metric('nextup_model_bytes{part="embedding"}') == 61 * 16 * 4
    assert await service.read_metric("nextup_store_up") == 1
    assert await service.read_metric("nextup_store_memory_bytes") > 100_000


async def test_page_needs_no_other_host(service: Service) -> None:
    page = (await service.http.get("/")).text
    scripts = [name for name in FILES if name.endswith(".js")]
    source = page + "".join([(await service.http.get(f"/page/{name}")).text for name in scripts])
    assert 'call("recommend"' in source
    other_hosts = source.replace("http://www.w3.org/2000/svg", "")  # a name of a vocabulary, not an address
    assert "http://" not in other_hosts
    assert "https://" not in other_hosts
