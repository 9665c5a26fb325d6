"""For tests that hold wherever the model is: import `model_process as model_process` from here."""

import pytest


@pytest.fixture(params=["in_process", "dedicated"])
def model_process(request: pytest.FixtureRequest) -> str:
    """`model_process` of the settings that a test's services have."""
    return str(request.param)
