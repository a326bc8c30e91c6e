"""Client of TensorFlow Serving. Imports no TensorFlow."""
