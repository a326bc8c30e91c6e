"""Orthogonal regularization of the kernels of a network."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.regularization.regularizer import GeneratorBatch, WeightedTerm


class OrthogonalRegularization(WeightedTerm):
    """Orthogonal regularization: beta sum ||W^T W * (1 - I)||_F^2 over kernels W.

    A kernel is reshaped to a matrix [all other axes, output channels]. The term makes the filters of a layer orthogonal
    and does not change their lengths. It applies to the kernels of dense and convolutional layers, before spectral
    normalization, but not to class tables and biases. BigGAN-PyTorch adds half of this term's gradient for the same
    weight, and excludes only the class embedding that its blocks share.

    Reference: Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, equation 3.

    Args:
        network: The network whose kernels are regularized.
        weight: Weight of the term, beta.
    """

    metrics = ("orthogonal_penalty",)

    def __init__(self, network: keras.Model, weight: float) -> None:
        super().__init__(weight)
        self._kernels = find_kernels(network)

    def _measure(self, batch: GeneratorBatch) -> tf.Tensor:
        matrices = (reshape_to_matrix(layer, kernel) for layer, kernel in self._kernels)
        return tf.add_n([compute_off_diagonal_square(matrix) for matrix in matrices])


def find_kernels(network: keras.Model) -> list[tuple[keras.layers.Layer, keras.Variable]]:
    """Return every layer of a network that has a trainable kernel, and its kernel."""
    found = {}
    # Keras has no public function that returns nested layers.
    for layer in iterate_layers(network):
        kernel = getattr(layer, "kernel", None)
        if isinstance(kernel, keras.Variable) and kernel.trainable:
            found[id(kernel)] = layer, kernel
    return list(found.values())


def reshape_to_matrix(layer: keras.layers.Layer, kernel: keras.Variable) -> tf.Tensor:
    """Reshape a kernel to a matrix [all other axes, output channels]."""
    values = tf.convert_to_tensor(kernel)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        # The kernel of a transposed convolution is [height, width, output, input].
        values = tf.transpose(values, [0, 1, 3, 2])
    return tf.reshape(values, [-1, values.shape[-1]])


def compute_off_diagonal_square(matrix: tf.Tensor) -> tf.Tensor:
    """Compute ||W^T W * (1 - I)||_F^2 from the smaller product of W with itself.

    W^T W and W W^T have the same Frobenius norm, and the diagonal of W^T W has the squared lengths of the columns. The
    columns of a wide W cannot all be orthogonal, so the difference never subtracts almost equal numbers.
    """
    rows, columns = matrix.shape
    if columns <= rows:
        gram = tf.matmul(matrix, matrix, transpose_a=True)
        return tf.reduce_sum(tf.square(gram - tf.linalg.diag(tf.linalg.diag_part(gram))))
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(tf.reduce_sum(tf.square(matrix), 0)))
