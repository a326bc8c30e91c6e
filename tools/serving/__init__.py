"""Load generator for TensorFlow Serving."""
