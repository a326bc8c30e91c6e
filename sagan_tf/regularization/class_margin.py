"""Margin between the logits of real images with their own label and with the highest-scoring wrong label."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.regularization.regularizer import DiscriminatorBatch, WeightedTerm


class ClassMargin(WeightedTerm):
    """Hinge loss on the margin between the right and the best wrong label.

    The term is weight E[max(0, 1 - (D(x, y) - max D(x, y')))] over real images x of class y. The inner maximum is over
    the wrong labels y'. In a projection discriminator the part of the logit that does not depend on the label cancels
    out, so the term trains the label embedding and the features. It reuses the features of the update, so it only adds
    one matrix product.

    References: Crammer & Singer, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, JMLR
    2001, for the loss; Kavalerov et al., A Multi-Class Hinge Loss for Conditional GANs, WACV 2021, for its use in a
    discriminator with K + 1 outputs; Reed et al., Generative Adversarial Text to Image Synthesis, ICML 2016, for real
    images with wrong labels. The form for a projection discriminator was developed for this project.

    Args:
        weight: Weight of the term.
    """

    metrics = ("class_margin_penalty",)
    needs_class_scores = True

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        scores = batch.real_class_scores
        if scores is None:
            raise ValueError("class_margin_weight needs class scores, which only --conditioning=projection provides")
        is_own_label = tf.one_hot(batch.real_labels, scores.shape[1], on_value=True, off_value=False, dtype=tf.bool)
        right = tf.reduce_max(tf.where(is_own_label, scores, scores.dtype.min), axis=1)
        wrong = tf.reduce_max(tf.where(is_own_label, scores.dtype.min, scores), axis=1)
        return tf.reduce_mean(tf.nn.relu(1.0 - (right - wrong)))
