"""Training steps as one XLA program that runs without TensorFlow."""
