"""The health of a training run: what is measured, and the signs by which a failing run is recognized."""
