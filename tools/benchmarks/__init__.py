"""Benchmarks of `tools/benchmark.py`, with TF-GAN beside this project."""
