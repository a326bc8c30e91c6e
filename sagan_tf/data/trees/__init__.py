"""Trees of image files that are read in place: a directory, a zip archive or a tar archive. Imports no TensorFlow."""
