"""Export and serving of trained networks."""
