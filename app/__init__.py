"""nextup, the service: HTTP in front, histories in Redis, a sequential model behind."""

__version__ = "0.1.0"
