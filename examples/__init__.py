"""Programs that use the service or extend it, each in one file."""
