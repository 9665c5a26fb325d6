"""Deployments other than `nextup serve`."""
