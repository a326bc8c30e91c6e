"""Top-k training: the gradient is that of the mean over the images with the highest logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.losses import LOSSES, PairedLoss
from sagan_tf.regularization import compute_top_fraction, restrict_to_top_k
from sagan_tf.regularization.top_k import keep_top_gradients
from tests.training.tiny import PLAIN_NETWORKS, make_real_batch, make_updates, run_in_replica, tiny_config

FAKE = np.array([[0.3], [-1.0], [2.0], [-0.2], [0.9], [-3.0]], np.float32)
REAL = FAKE[::-1].copy()


@pytest.mark.parametrize(
    ("fraction", "kept", "jit_compile"), [(1.0, 6, False), (0.5, 3, True), (0.51, 4, False), (0.01, 1, False)]
)
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str, fraction: float, kept: int, jit_compile: bool):
    loss = LOSSES[name]
    top = restrict_to_top_k(loss, lambda: tf.constant(fraction))
    real = [REAL] if isinstance(loss, PairedLoss) else []
    best = np.sort(np.argsort(-FAKE[:, 0])[:kept])

    @tf.function(jit_compile=jit_compile)
    def differentiate(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = top.generator(*real, logits)
        return value, tape.gradient(value, logits)

    value, gradient = differentiate(tf.constant(FAKE))
    chosen = tf.constant(FAKE[best])
    with tf.GradientTape() as tape:
        tape.watch(chosen)
        best_loss = loss.generator(*(logits[best] for logits in real), chosen)
    expected = np.zeros_like(FAKE)
    expected[best] = tape.gradient(best_loss, chosen)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert float(value) == pytest.approx(float(loss.generator(*real, tf.constant(FAKE))), rel=1e-5)
    assert top.discriminator is loss.discriminator and type(top) is type(loss)


def test_auxiliary_classifier_uses_the_same_images():
    """The update applies the gradient of the loss of the kept images, which is computed independently."""
    options = {**PLAIN_NETWORKS, "conditioning": "auxiliary_classifier", "global_batch_size": 6}
    config = tiny_config(**options, generator_top_k=0.5)
    updates = make_updates(config, lambda: keras.optimizers.SGD(1.0, name="sgd"))
    state, draw = updates.state, tf.constant(3, tf.int64)
    latents, labels = updates.sampler.draw(draw)
    with tf.GradientTape() as tape:
        with keras.StatelessScope():
            images = state.generator([latents, labels], training=True)
            logits, class_logits = state.discriminator([images, labels], training=True)
        class_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, class_logits)
        best = tf.argsort(logits[:, 0], direction="DESCENDING")[:3]
        best_loss = tf.reduce_mean(tf.gather(class_losses - logits[:, 0], best))
    variables = state.generator.trainable_variables
    expected = tape.gradient(best_loss, [variable.value for variable in variables])
    before = [variable.numpy() for variable in variables]
    metrics = run_in_replica(updates.generator_step, *make_real_batch(config), draw)
    assert float(metrics["generator_loss"]) == pytest.approx(
        float(tf.reduce_mean(class_losses - logits[:, 0])), rel=1e-4
    )
    for start, variable, gradient in zip(before, variables, expected, strict=True):
        whole = tf.convert_to_tensor(gradient)  # an embedding has a sparse gradient
        np.testing.assert_allclose(start - variable.numpy(), whole, rtol=1e-3, atol=1e-4, err_msg=variable.path)


@pytest.mark.parametrize(("size", "fraction", "kept"), [(64, 1e-6, 1), (25, 0.6, 15), (25, 0.61, 16)])
def test_number_of_kept_images(size: int, fraction: float, kept: int):
    """At least one image is kept, and a product that float32 rounds up does not keep an additional image."""
    logits = tf.constant(np.random.default_rng(0).normal(size=[size, 1]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = keep_top_gradients(logits, logits, tf.constant(fraction))
    assert np.count_nonzero(tape.gradient(value, logits)) == kept


def test_fraction_is_multiplied_by_0_99_in_each_interval():
    config = RegularizationConfig(generator_top_k=0.75, generator_top_k_decay_steps=10)
    for step, fraction in ((0, 1.0), (9, 1.0), (10, 0.99), (25, 0.99**2), (1000, 0.75)):
        assert float(compute_top_fraction(config, tf.constant(step, tf.int64))) == pytest.approx(fraction)
    assert float(compute_top_fraction(RegularizationConfig(generator_top_k=0.5), tf.constant(0, tf.int64))) == 0.5
