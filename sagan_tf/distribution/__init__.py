"""Where a run computes: devices, strategies and clusters."""
