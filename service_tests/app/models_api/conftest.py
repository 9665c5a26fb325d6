"""Tests of the models API hold for both placements of the model."""

from service_tests.support.model_placements import model_process

__all__ = ["model_process"]
