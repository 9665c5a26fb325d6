"""GET /overview: what the service did in the last five minutes, and with which model."""
