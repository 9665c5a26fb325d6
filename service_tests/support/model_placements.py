"""For tests that hold wherever the model is: `from service_tests.support.model_placements import both as model_process`."""

import pytest


@pytest.fixture(params=["inside", "own"])
def both(request: pytest.FixtureRequest) -> str:
    """`model_process` of the settings that a test's services have."""
    return str(request.param)
