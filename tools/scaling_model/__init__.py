"""Scaling model of `tools/scaling.py`: the formulas of docs/scaling.md, one idea per file."""
