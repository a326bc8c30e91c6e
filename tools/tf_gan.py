"""Networks of TF-GAN's SAGAN example (`tensorflow_gan.examples.self_attention_estimator`), for comparisons.

They need TF1 graphs and Keras 2; import them in a separate process.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

LATENT_DIM = 128


class _EstimatorPlaceholderType(type):
    def __getattr__(cls, name: str) -> type:
        return EstimatorPlaceholder


class EstimatorPlaceholder(metaclass=_EstimatorPlaceholderType):
    """Placeholder of Estimators, which TensorFlow 2.16 removed.

    `import tensorflow_gan` derives classes from them.
    """


def import_tensorflow_gan() -> tuple[Any, Any, Any, Any]:
    """Import TF1, TF-GAN and its SAGAN networks.

    Returns:
        `tensorflow.compat.v1`, `tensorflow_gan`, and TF-GAN's modules `generator` and `discriminator` of SAGAN.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    tf.compat.v1.disable_v2_behavior()
    tf.compat.v1.enable_resource_variables()
    tf.estimator = tf.compat.v1.estimator = EstimatorPlaceholder
    # tensorflow_hub 0.16 needs pkg_resources, which setuptools 81 removed; the networks do not use tensorflow_hub.
    sys.modules.setdefault("tensorflow_hub", types.ModuleType("tensorflow_hub"))
    import tensorflow_gan
    from tensorflow_gan.examples.self_attention_estimator import discriminator, generator

    return tf.compat.v1, tensorflow_gan, generator, discriminator
