"""Train a few steps on the workers of TF_CONFIG and write all variables.

The optimizer is SGD, and batch statistics are synchronized.

python -m tests.training.small_training OUTPUT.npz
"""

import pathlib
import sys
from typing import Any

import keras
import numpy as np

from sagan_tf.data.sources.registry import open_source
from sagan_tf.distribution.strategy import create_strategy, is_chief
from sagan_tf.training import train as training
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.training.tiny import PLAIN_NETWORKS, make_state, read_all_values, tiny_config

STEPS = 3


def train(output: pathlib.Path, strategy_name: str = "auto") -> None:
    """Train on all workers and write all variables on the chief."""
    config = tiny_config(
        dataset="fashion_mnist_10k",
        num_classes=10,
        global_batch_size=8,
        synchronized_batch_norm=True,
        random_flip=True,
        discriminator_steps_per_step=2,
        strategy=strategy_name,
        **PLAIN_NETWORKS,
    )
    strategy = create_strategy(config.training)
    source = open_source(config.data, resolution=32, image_channels=1)
    state = make_state(config, strategy, lambda: keras.optimizers.SGD(0.002, name="sgd"))
    iterator = training._create_training_iterator(config, source, strategy, state)
    Trainer(create_updates(config, state), strategy, iterator, config.training).train(STEPS)
    values = read_all_values(state)
    if is_chief(strategy):
        arrays: dict[str, Any] = {name.replace("/", "|"): value for name, value in values.items()}
        np.savez(output, **arrays)


if __name__ == "__main__":
    train(pathlib.Path(sys.argv[1]))
