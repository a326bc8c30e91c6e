"""The commands of the package as functions of their arguments, which return the exit status."""

from sagan_tf.evaluate import run as evaluate
from sagan_tf.export import run as export
from sagan_tf.sample import run as sample
from sagan_tf.train import run as train

__all__ = ["evaluate", "export", "sample", "train"]
