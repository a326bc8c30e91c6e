"""Measurements of the check: description of the environment, all-reduce, decoding and training steps.

A worker of `tools/benchmarks/worker.py` runs each of them. They import TensorFlow themselves, because the worker must
load the CUDA libraries first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from tools.benchmarks.measure import Measurement, read_peak_memory_bytes
from tools.benchmarks.train_step_measurements import create_trainer

if TYPE_CHECKING:
    import tensorflow as tf

_NUM_FLOATS = 16 * 2**20
_NUM_REDUCTIONS = 10
_DECODING_SECONDS = 5.0
_MAX_STEPS_SECONDS = 20.0


def prepare_environment() -> Measurement:
    """Prepare `describe_environment`, which has a worker of its own so that its GPU memory is released."""
    from sagan_tf.distribution.devices import enable_gpu_memory_growth
    from tools.gpu_checking.environment import describe_environment

    enable_gpu_memory_growth()
    return Measurement(describe_environment)


def prepare_all_reduce() -> Measurement:
    """Connect the GPUs of this machine, and prepare `measure_all_reduce`; the number of replicas is known before."""
    from sagan_tf.distribution.strategy import create_local_strategy

    strategy = create_local_strategy("mirrored")
    return Measurement(lambda: measure_all_reduce(strategy), {"replicas": strategy.num_replicas_in_sync})


def measure_all_reduce(strategy: tf.distribute.Strategy, num_floats: int = _NUM_FLOATS) -> dict[str, Any]:
    """Time the sum of a float32 vector over replicas.

    Args:
        strategy: The strategy of the replicas.
        num_floats: The length of the vector.

    Returns:
        `replicas`, `bytes`, `seconds` of one all-reduce, and `bus_bytes_per_second`: the bytes that each link carries,
        2 (n - 1) / n times the vector, per second, as NVIDIA's nccl-tests report it.
    """
    import tensorflow as tf

    replicas = strategy.num_replicas_in_sync

    @tf.function(autograph=False)
    def reduce() -> tf.Tensor:
        def sum_over_replicas() -> tf.Tensor:
            vector = tf.ones([num_floats])
            for _ in range(_NUM_REDUCTIONS):
                vector = tf.distribute.get_replica_context().all_reduce("SUM", vector) / replicas
            return vector[:1]

        return tf.add_n(strategy.experimental_local_results(strategy.run(sum_over_replicas)))

    reduce().numpy()  # The first call traces the function and connects the GPUs.
    start = time.perf_counter()
    reduce().numpy()
    seconds = (time.perf_counter() - start) / _NUM_REDUCTIONS
    num_bytes = 4 * num_floats
    bus = 2 * (replicas - 1) / replicas * num_bytes / seconds
    return {"replicas": replicas, "bytes": num_bytes, "seconds": seconds, "bus_bytes_per_second": bus}


def prepare_decoding(*, flags: list[str]) -> Measurement:
    """Prepare the measurement of a configuration's input pipeline: reading, decoding and batching its data.

    Args:
        flags: The flags of the configuration.

    Returns:
        The measurement of `num_classes`, `num_examples` and `images_per_second`.
    """
    config = parse_config(flags)

    def measure() -> dict[str, Any]:
        from sagan_tf.data.pipeline import make_training_dataset
        from sagan_tf.data.sources.registry import open_source

        model, data = config.model, config.data
        source = open_source(data, resolution=model.resolution, image_channels=model.image_channels)
        batch_size = min(config.training.global_batch_size, source.num_examples)
        batches = iter(
            make_training_dataset(source, batch_size=batch_size, seed=0, position=0, random_flip=data.random_flip)
        )
        next(batches)
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < _DECODING_SECONDS:
            next(batches)
            count += batch_size
        sizes = {"num_classes": len(source.class_names), "num_examples": source.num_examples}
        return sizes | {"images_per_second": count / elapsed}

    return Measurement(measure)


def prepare_steps(*, flags: list[str], steps: int = 0) -> Measurement:
    """Create the strategy of a configuration, and prepare the measurement of training steps on random images.

    Args:
        flags: The flags of the configuration, with its number of classes.
        steps: The maximum number of timed steps; 0: only the first step is run.

    Returns:
        The measurement, see `_measure_steps`; the number of replicas is known before.
    """
    from sagan_tf.distribution.strategy import create_strategy

    config = parse_config(flags)
    strategy = create_strategy(config.training)
    return Measurement(lambda: _measure_steps(config, strategy, steps), {"replicas": strategy.num_replicas_in_sync})


def _measure_steps(config: Config, strategy: tf.distribute.Strategy, max_steps: int) -> dict[str, Any]:
    """Train and time a few steps.

    Returns:
        `first_step_seconds` with tracing; `first_step_metrics`; `peak_memory_bytes` of the GPU that used most, or of
        this process without a GPU; and with timed steps `steps`, `step_seconds` and `images_per_second` (real images of
        all discriminator updates, over all replicas).
    """
    start = time.perf_counter()
    trainer = create_trainer(config, strategy)
    metrics = trainer.train(1)
    measured: dict[str, Any] = {"first_step_seconds": time.perf_counter() - start, "first_step_metrics": metrics}
    if max_steps:
        start = time.perf_counter()
        trainer.train(1)
        steps = max(min(max_steps, int(_MAX_STEPS_SECONDS / (time.perf_counter() - start))), 1)
        start = time.perf_counter()
        trainer.train(steps)
        seconds = (time.perf_counter() - start) / steps
        images = config.training.global_batch_size * config.training.discriminator_steps_per_step
        measured |= {"steps": steps, "step_seconds": seconds, "images_per_second": images / seconds}
    return measured | {"peak_memory_bytes": _read_device_peak_bytes()}


def _read_device_peak_bytes() -> int:
    import tensorflow as tf

    gpus = [device.name.rpartition("device:")[2] for device in tf.config.list_logical_devices("GPU")]
    if gpus:
        return max(int(tf.config.experimental.get_memory_info(gpu)["peak"]) for gpu in gpus)
    return read_peak_memory_bytes()
