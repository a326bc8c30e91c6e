"""Terms that are added to the losses of the two networks; each is off unless its weight is above 0."""

from sagan_tf.regularization.lecam import LogitAverages
from sagan_tf.regularization.regularizer import DiscriminatorBatch, GeneratorBatch, Regularizer, add_penalties
from sagan_tf.regularization.regularizers import REGULARIZERS, create_regularizers
from sagan_tf.regularization.top_k import compute_top_fraction, restrict_to_top_k

__all__ = [
    "REGULARIZERS",
    "DiscriminatorBatch",
    "GeneratorBatch",
    "LogitAverages",
    "Regularizer",
    "add_penalties",
    "compute_top_fraction",
    "create_regularizers",
    "restrict_to_top_k",
]
