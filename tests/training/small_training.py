"""A few steps by SGD with synchronised statistics, on as many workers as TF_CONFIG says: writes all values of the run.

python -m tests.training.small_training OUTPUT.npz
"""

from __future__ import annotations

import pathlib
import sys

import keras
import numpy as np

from sagan_tf.data.sources.registry import open_source
from sagan_tf.distribution.strategy import create_strategy, is_chief
from sagan_tf.training import train as training
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.training.tiny import PLAIN_NETWORKS, all_values, make_state, tiny_config

STEPS = 3


def train(output: pathlib.Path, strategy_name: str = "auto") -> None:
    """Trains, and writes what came of it; every worker takes part, one writes."""
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
    iterator = training._training_iterator(config, source, strategy, state)
    Trainer(create_updates(config, state), strategy, iterator, config.training).train(STEPS)
    values = all_values(state)
    if is_chief(strategy):
        np.savez(output, **{name.replace("/", "|"): value for name, value in values.items()})


if __name__ == "__main__":
    train(pathlib.Path(sys.argv[1]))
