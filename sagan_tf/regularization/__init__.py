"""Terms that are added to the losses of the two updates; each is off unless its weight is above 0."""

from sagan_tf.regularization.regularizer import DiscriminatorBatch, GeneratorBatch, Regularizer, add_penalties

__all__ = ["DiscriminatorBatch", "GeneratorBatch", "Regularizer", "add_penalties"]
