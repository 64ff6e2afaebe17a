"""Hostile inputs, one file for each kind. Each file's `inputs()` gives its records; see `tests/scripts/hostile.py`."""
