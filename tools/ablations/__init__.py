"""Studies of `tools/ablation.py`, their cells, devices and results."""
