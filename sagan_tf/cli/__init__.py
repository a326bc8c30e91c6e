"""The command line: flags, standard streams, and TensorFlow without its notices."""
