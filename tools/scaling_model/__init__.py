"""Counts, predictions and tables of `tools/scaling.py`."""
