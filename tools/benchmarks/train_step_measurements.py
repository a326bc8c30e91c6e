"""Measurements of the benchmark of training steps: a step on random images, and a matrix product."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sagan_tf.config import Config, ModelConfig, TrainingConfig
from tools.benchmarks.measure import Measurement, read_peak_memory_bytes

if TYPE_CHECKING:
    import tensorflow as tf

    from sagan_tf.training.trainer import Trainer

_SEED = (0, 0)
_MATRIX_SIZE = 3072
_NUM_PRODUCTS = 5


def prepare_train_step(
    *,
    resolution: int,
    image_channels: int,
    base_channels: int,
    num_classes: int,
    attention_resolution: int,
    batch_size: int,
    precision: str,
    jit_compile: bool,
    resampling: str,
) -> Measurement:
    """Build the networks, and train two steps to warm up.

    Returns:
        The measurement of the seconds of a step and of the peak memory. It is known before how long the first step
        takes, with tracing, and how many floating-point operations an image needs.
    """
    from sagan_tf.distribution.strategy import create_strategy

    model = ModelConfig(
        resolution=resolution,
        image_channels=image_channels,
        base_channels=base_channels,
        num_classes=num_classes,
        attention_resolutions=(attention_resolution,) if attention_resolution else (),
        resampling=resampling,
    )
    training = TrainingConfig(
        global_batch_size=batch_size, precision=precision, jit_compile=jit_compile, strategy="one_device"
    )
    start = time.perf_counter()
    trainer = create_trainer(Config(model=model, training=training), create_strategy(training))
    trainer.train(1)
    first_step = time.perf_counter() - start
    trainer.train(1)
    flops = _count_flops_per_image(trainer, batch_size)

    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        trainer.train(1)
        return {"seconds": time.perf_counter() - start, "peak_memory_bytes": read_peak_memory_bytes()}

    return Measurement(measure, flops | {"seconds_to_first_step": first_step})


def _count_flops_per_image(trainer: Trainer, batch_size: int) -> dict[str, float]:
    """Count the floating-point operations of a step, without and with the transforms of minimal convolutions."""
    from tools.benchmarks.arithmetic import count_multiply_adds

    graph = trainer.trace_loop()
    names = {"flops_per_image": False, "flops_per_image_with_transforms": True}
    return {name: 2 * count_multiply_adds(graph, transforms=value) / batch_size for name, value in names.items()}


def create_trainer(config: Config, strategy: tf.distribute.Strategy) -> Trainer:
    """Create a trainer whose data are the same random images in every step."""
    import tensorflow as tf

    from sagan_tf.training.state import create_state
    from sagan_tf.training.trainer import Trainer
    from sagan_tf.training.updates import create_updates

    batch, size = config.training.global_batch_size, config.model.resolution
    shape, classes = [batch, size, size, config.model.image_channels], max(config.model.num_classes, 1)
    with tf.device("CPU:0"):  # The CPU gives the same images on every machine.
        images = {
            "images": tf.random.stateless_uniform(shape, _SEED, -1.0, 1.0, alg="philox"),
            "labels": tf.random.stateless_uniform([batch], _SEED, 0, classes, tf.int32, alg="philox"),
            "positions": tf.range(batch, dtype=tf.int64),
        }
    with strategy.scope():
        state = create_state(config)
    dataset = tf.data.Dataset.from_tensors(images).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    return Trainer(create_updates(config, state), strategy, iterator, config.training)


def prepare_matrix_product() -> Measurement:
    """Create two large matrices, and multiply them to warm up.

    Returns:
        The measurement of the fastest of a few products, the best speed that the processor reaches at that moment.
    """
    import tensorflow as tf

    left, right = (tf.random.normal([_MATRIX_SIZE, _MATRIX_SIZE]) for _ in range(2))

    def measure_seconds() -> float:
        start = time.perf_counter()
        tf.linalg.matmul(left, right)
        return time.perf_counter() - start

    def measure() -> dict[str, Any]:
        return {"flops_per_second": 2 * _MATRIX_SIZE**3 / min(measure_seconds() for _ in range(_NUM_PRODUCTS))}

    measure()
    return Measurement(measure)
