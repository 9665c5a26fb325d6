"""Requests generated from the OpenAPI document: the service keeps to what it declares, and nothing is a 500."""

from pathlib import Path

import pytest

from service_tests.support.nextup_process import read_samples, run_service

pytestmark = [pytest.mark.slow, pytest.mark.optional]
EXAMPLES = 15


@pytest.mark.timeout(600)
def test_service_keeps_to_its_openapi_document(tiny_artifact: Path, redis_url: str, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    from service_tests.failures.openapi_fuzz import run_schemathesis

    options = ["--artifact", str(tiny_artifact)]
    with run_service(tmp_path, *options, NEXTUP_REDIS_URL=redis_url, NEXTUP_ARCHIVE="off") as service:
        assert run_schemathesis(service.url, EXAMPLES, tmp_path, seed=1, timeout_s=500) > 100
        codes = read_samples(service.url, "nextup_http_requests_total")
        assert not any("'500'" in labels for labels in codes), codes
    assert not any("Traceback" in line for line in service.output)
