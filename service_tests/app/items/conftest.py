"""What is tested of items holds wherever the model is."""

from service_tests.support.model_placements import model_process as model_process

__all__ = ["model_process"]
