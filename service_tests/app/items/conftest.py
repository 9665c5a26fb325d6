"""What is tested of items holds wherever the model is."""

from service_tests.arrangements import both as model_process

__all__ = ["model_process"]
