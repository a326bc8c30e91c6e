"""Environment of a process: GPUs, TPUs and Keras settings, read before TensorFlow is imported."""
