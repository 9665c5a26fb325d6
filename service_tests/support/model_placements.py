"""Fixture for tests that hold for both placements of the model: import `model_process` from here."""

import pytest


@pytest.fixture(params=["in_process", "dedicated"])
def model_process(request: pytest.FixtureRequest) -> str:
    """Value of the setting `model_process` of a test's services."""
    return str(request.param)
