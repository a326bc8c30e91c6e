"""Lowering of training steps to one XLA program that runs without TensorFlow."""
