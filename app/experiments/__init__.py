"""Experiments: two versions answer shares of the users, and their results are compared."""
