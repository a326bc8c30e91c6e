"""Value and gradients of the class margin."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization.class_margin import ClassMargin
from sagan_tf.training.discriminator_outputs import hold_state
from tests.regularization.batches import SIZE, discriminator_batch
from tests.training.tiny import NUM_CLASSES, PLAIN_NETWORKS, make_real_batch, make_updates, run_in_replica, tiny_config

DRAW = tf.constant(3, tf.int64)
RATE = 0.1


def test_value_is_the_mean_distance_to_the_margin() -> None:
    scores = np.array([[3.0, 2.5, -1.0], [0.0, 5.0, 3.9], [1.0, 1.0, 1.0], [-2.0, 4.0, -7.0]], np.float32)
    distances = [0.5, 0.0, 1.0, 7.0]
    batch = discriminator_batch(real_labels=tf.constant([0, 1, 2, 0]), real_class_scores=tf.constant(scores))
    term, metrics = ClassMargin(2.0)(batch)
    assert float(metrics["class_margin_penalty"]) == pytest.approx(np.mean(distances))
    assert float(term) == pytest.approx(2.0 * np.mean(distances))


def test_class_scores_are_required() -> None:
    with pytest.raises(ValueError, match="scores"):
        ClassMargin(1.0)(discriminator_batch(real_labels=tf.zeros([SIZE], tf.int32)))


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(RATE, name="sgd")


def penalty_and_gradients(network: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tuple[float, list[Any]]:
    """Compute the term by calling the whole discriminator once for each class, with the same sigma."""
    held = hold_state(network)
    with tf.GradientTape() as tape:
        logits = []
        for label in range(NUM_CLASSES):
            with held():
                logits.append(network([images, tf.fill(labels.shape, label)], training=True))
        scores = tf.concat(logits, axis=1)
        is_own_label = tf.one_hot(labels, NUM_CLASSES)
        wrong = tf.reduce_max(scores - 1e9 * is_own_label, axis=1)
        penalty = tf.reduce_mean(tf.nn.relu(1.0 + wrong - tf.reduce_sum(scores * is_own_label, axis=1)))
    return float(penalty), tape.gradient(penalty, [variable.value for variable in network.trainable_variables])


@pytest.mark.parametrize(
    ("parts", "normalized"),
    [(2, True), *(pytest.param(1, normalized, marks=pytest.mark.slow) for normalized in (True, False))],
)
def test_gradients_equal_those_of_calls_with_every_label(parts: int, normalized: bool) -> None:
    """The difference between updates with and without the term is the gradient of the term."""
    after, found = [], []
    images, labels = make_real_batch(tiny_config())
    options = {**PLAIN_NETWORKS, "gradient_accumulation_steps": parts, "discriminator_spectral_norm": normalized}
    for weight in (0.0, 0.5):
        config = tiny_config(**options, class_margin_weight=weight)
        updates = make_updates(config, sgd)
        network = updates.state.discriminator
        if weight:
            penalty, expected = penalty_and_gradients(network, images, labels)
        found.append(run_in_replica(updates.discriminator_step, images, labels, DRAW))
        after.append([variable.numpy() for variable in network.variables])
        trained = [variable.trainable for variable in network.variables]
    assert float(found[0]["discriminator_loss"]) == float(found[1]["discriminator_loss"])
    assert float(found[1].pop("class_margin_penalty")) == pytest.approx(penalty, rel=1e-4) and penalty > 0.1
    assert found[0].keys() == found[1].keys()
    differences = [(without - penalized) / RATE for without, penalized in zip(*after, strict=True)]
    changes = [difference for difference, is_trained in zip(differences, trained, strict=True) if is_trained]
    for gradient, difference in zip(expected, changes, strict=True):
        # The gradient of an embedding is sparse.
        whole = 0.0 if gradient is None else tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(difference, 0.5 * whole, rtol=1e-5, atol=2e-5)
    for difference, is_trained in zip(differences, trained, strict=True):
        assert is_trained or not difference.any()  # u changes as it does without the term
