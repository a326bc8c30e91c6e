"""A client of TensorFlow Serving. Imports no TensorFlow."""
