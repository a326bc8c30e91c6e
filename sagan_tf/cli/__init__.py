"""Command line: flags, standard streams and a quiet import of TensorFlow."""
