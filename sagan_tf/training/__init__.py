"""The training of a run: its state, its two updates, the loops and the actions."""
