"""Orthogonal regularization of a network's kernels."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.regularization.regularizer import GeneratorBatch, WeightedTerm


class OrthogonalRegularization(WeightedTerm):
    """The term beta sum ||W^T W * (1 - I)||_F^2 over the kernels W, read as [everything else, output channels].

    It makes the filters of a layer orthogonal and leaves their lengths alone. Kernels are those of dense and
    convolutional layers, before spectral normalization; class tables and biases are left out. BigGAN-PyTorch adds half
    of this term's gradient for the same weight, and leaves out only the class embedding that blocks share.

    Reference: Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, equation 3.

    Args:
        network: The network whose kernels are regularized.
        weight: Weight of the term, beta.
    """

    metrics = ("orthogonal_penalty",)

    def __init__(self, network: keras.Model, weight: float) -> None:
        super().__init__(weight)
        self._kernels = kernels_of(network)

    def _measure(self, batch: GeneratorBatch) -> tf.Tensor:
        return tf.add_n([off_diagonal_square(as_matrix(layer, kernel)) for layer, kernel in self._kernels])


def kernels_of(network: keras.Model) -> list[tuple[keras.layers.Layer, keras.Variable]]:
    """Return every layer of a network that has a kernel of its own, with it."""
    found = {}
    for layer in network._flatten_layers():  # Keras has no public way to reach nested layers
        kernel = getattr(layer, "kernel", None)
        if isinstance(kernel, keras.Variable) and kernel.trainable:
            found[id(kernel)] = layer, kernel
    return list(found.values())


def as_matrix(layer: keras.layers.Layer, kernel: keras.Variable) -> tf.Tensor:
    """Return a kernel as a matrix of [everything else, output channels]."""
    values = tf.convert_to_tensor(kernel)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        values = tf.transpose(values, [0, 1, 3, 2])  # its kernel is [height, width, output, input]
    return tf.reshape(values, [-1, values.shape[-1]])


def off_diagonal_square(matrix: tf.Tensor) -> tf.Tensor:
    """Return ||W^T W * (1 - I)||_F^2, by the smaller of the two products of W with itself.

    W^T W and W W^T have the same Frobenius norm, and W^T W has the columns' squared lengths on its diagonal. A wide W
    has no orthogonal columns, so that the difference is never one of almost equal numbers.
    """
    rows, columns = matrix.shape
    if columns <= rows:
        gram = tf.matmul(matrix, matrix, transpose_a=True)
        return tf.reduce_sum(tf.square(gram - tf.linalg.diag(tf.linalg.diag_part(gram))))
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(tf.reduce_sum(tf.square(matrix), 0)))
