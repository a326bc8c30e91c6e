"""The health of a training run: measurements, and the signs of a failing run."""
