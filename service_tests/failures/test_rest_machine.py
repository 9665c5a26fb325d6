"""After any order of REST calls, a real service answers as the plain-Python model of the store.

`python -m service_tests.failures.fuzz` is the long run.
"""

from pathlib import Path

import pytest

from service_tests.failures.rest_machine import VARIABLES, run_machine
from service_tests.support.nextup_process import run_service

pytestmark = pytest.mark.slow
EXAMPLES = 25


@pytest.mark.timeout(300)
def test_service_equals_the_model_after_any_calls(tiny_artifact: Path, redis_url: str, tmp_path: Path) -> None:
    options = ["--artifact", str(tiny_artifact)]
    with run_service(tmp_path, *options, NEXTUP_REDIS_URL=redis_url, NEXTUP_ARCHIVE="off", **VARIABLES) as service:
        assert run_machine(service.url, EXAMPLES) > 10 * EXAMPLES
    assert not any("Traceback" in line for line in service.output)
