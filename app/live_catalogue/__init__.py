"""Keeps a process at the newest state of the live catalogue."""
