"""Checks of `nextup doctor`: what this machine and these settings can do, and how to mend what they cannot."""
