"""Facts about data sets that may be absent from this machine."""

NUM_CLASSES = {"imagenet2012": 1000, "cifar10": 10, "fashion_mnist_10k": 10}
"""Number of classes by value of `--dataset`."""
