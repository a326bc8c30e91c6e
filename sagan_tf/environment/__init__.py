"""The environment of a process: GPUs, TPUs and the settings of Keras, examined before TensorFlow is imported."""
