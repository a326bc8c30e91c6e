"""Run directories: flags, checkpoints, metrics and locks."""
