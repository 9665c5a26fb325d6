"""Estimates of the resources that a service of a given size needs: `nextup plan`."""
