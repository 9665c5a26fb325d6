"""Runs the tests of health for every placement of the model."""

from service_tests.support.model_placements import model_process as model_process

__all__ = ["model_process"]
