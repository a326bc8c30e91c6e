"""Parts of `tools/gpu_check.py`: measurements, their order, and the tables."""
