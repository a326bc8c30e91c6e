"""Kernels recovered from the constants of every form's graph."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.kernel_recovery import recover_kernel
from sagan_tf.layers.convolutions.resampling import FORMS

RANDOM = np.random.default_rng(1)
KERNEL = RANDOM.normal(size=(3, 3, 5, 7)).astype(np.float32)


@pytest.mark.parametrize(("resampling", "form"), [(name, form) for name, forms in FORMS.items() for form in forms])
def test_kernel_of_every_form(resampling: str, form: str) -> None:
    kernel = tf.constant(KERNEL)
    function = tf.function(lambda x: FORMS[resampling][form](x, kernel), autograph=False)
    captures = [value.numpy() for value, _ in function.get_concrete_function(tf.zeros([1, 8, 8, 5])).graph.captures]
    if captures[0].shape == KERNEL.shape:
        np.testing.assert_array_equal(captures.pop(0), KERNEL)
    for taps in captures:
        recovered = recover_kernel(taps, resampling)
        assert recovered is not None
        np.testing.assert_allclose(recovered, KERNEL, atol=1e-5)


@pytest.mark.parametrize("shape", [(7,), (4, 4, 7, 5), (9, 5, 7), (3, 3, 5, 7)])
def test_other_shapes_have_no_kernel(shape: tuple[int, ...]) -> None:
    assert recover_kernel(np.zeros(shape, np.float32), "none") is None
