"""Where a run computes: TensorFlow's distribution strategies by name."""

from __future__ import annotations

import logging

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.cluster import cluster_resolver, has_cluster
from sagan_tf.distribution.devices import prepare_for_inference, take_gpu_memory_as_needed, use_one_gpu
from sagan_tf.distribution.gpu_preflight import check_gpus
from sagan_tf.distribution.tpu import create_tpu_strategy, is_tpu_wanted, warn_of_unused_tpu
from sagan_tf.errors import UserError

_logger = logging.getLogger("sagan_tf")
_BYTES_PER_PACK = 50 * 2**20
"""Gradients of the last layers can travel while the others are still computed."""


def create_strategy(config: TrainingConfig) -> tf.distribute.Strategy:
    """Make the strategy that `config.strategy` names. Call it before anything else touches TensorFlow's devices.

    Raises:
        UserError: if the devices or the environment that it needs are not there.
    """
    take_gpu_memory_as_needed()
    tf.config.experimental.enable_tensor_float_32_execution(config.tf32)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    _split_cpu(config.logical_cpus)
    check_gpus(config.precision, only_first=config.strategy == "one_device")  # before TensorFlow starts on them
    name = _automatic() if config.strategy == "auto" else config.strategy
    if config.strategy == "auto" and name != "tpu":
        warn_of_unused_tpu()
    if name == "multi_worker":
        return _multi_worker(config.collectives)
    if name == "tpu":
        return create_tpu_strategy(config.precision)
    return {"one_device": _one_device, "mirrored": _mirrored}[name]()


def create_local_strategy(name: str, logical_cpus: int = 1) -> tf.distribute.Strategy:
    """`one_device`, `mirrored`, or with `auto` whichever uses all of this machine's devices; no other workers."""
    prepare_for_inference()
    _split_cpu(logical_cpus)
    check_gpus(only_first=name == "one_device")
    return {"one_device": _one_device, "mirrored": _mirrored}[_local() if name == "auto" else name]()


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes that read data for `strategy`."""
    resolver = strategy.cluster_resolver
    tasks = resolver.cluster_spec().as_dict() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else {}
    return sum(len(addresses) for addresses in tasks.values()) or 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process is the one that writes the run's folder."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().as_dict()
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def check_batch_size(config: TrainingConfig, num_replicas: int, group_size: int = 0) -> None:
    """Raise UserError unless the global batch can be cut into equal parts for replicas and accumulation.

    Args:
        config: has the batch size.
        num_replicas: how many replicas take part.
        group_size: of `--discriminator_minibatch_statistics`, 0 for none. Each part must have whole groups, or a group
            would have real and fake images.
    """
    divisor = num_replicas * config.gradient_accumulation_steps * (group_size or 1)
    if config.global_batch_size % divisor:
        groups = f" x --discriminator_minibatch_statistics={group_size}" if group_size else ""
        raise UserError(
            f"global_batch_size: expected a multiple of {divisor} ({num_replicas} replicas x "
            f"{config.gradient_accumulation_steps} accumulation steps{groups}), received {config.global_batch_size}"
        )


def check_jit_compile(config: TrainingConfig, strategy: tf.distribute.Strategy) -> None:
    """Raise UserError where XLA cannot compile an update as a whole; on a TPU it compiles it in any case."""
    replicas = strategy.num_replicas_in_sync
    if config.jit_compile and replicas > 1 and not isinstance(strategy, tf.distribute.TPUStrategy):
        raise UserError(
            f"jit_compile: expected one replica, since XLA does not compile the all-reduces of several, "
            f"received {replicas}; TF_XLA_FLAGS=--tf_xla_auto_jit=2 in the environment compiles the rest of a step"
        )


def _split_cpu(logical_cpus: int) -> None:
    if logical_cpus == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * logical_cpus
    try:
        tf.config.set_logical_device_configuration(cpu, devices)
    except (RuntimeError, ValueError):  # TensorFlow has started: whoever started it has decided
        found = len(tf.config.list_logical_devices("CPU"))
        if found != logical_cpus:
            raise UserError(
                f"logical_cpus: expected {found}, as TensorFlow has started, received {logical_cpus}"
            ) from None


def _automatic() -> str:
    if is_tpu_wanted():
        return "tpu"
    if has_cluster():
        return "multi_worker"
    return _local()


def _local() -> str:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return "mirrored" if len(devices) > 1 else "one_device"


def _one_device() -> tf.distribute.Strategy:
    use_one_gpu()
    return tf.distribute.OneDeviceStrategy("GPU:0" if tf.config.get_visible_devices("GPU") else "CPU:0")


def _mirrored() -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        if len(gpus) > 1:
            _logger.info("%d GPUs, all that are visible; CUDA_VISIBLE_DEVICES chooses which (0,1: two)", len(gpus))
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(len(gpus))])
    cpus = [f"CPU:{index}" for index in range(len(tf.config.list_logical_devices("CPU")))]
    # Between parts of one CPU nothing has to travel: the default's collectives would only cost, and a second strategy
    # in one process would reuse the keys of the first one's.
    return tf.distribute.MirroredStrategy(cpus, cross_device_ops=tf.distribute.ReductionToOneDevice())


def _multi_worker(collectives: str) -> tf.distribute.Strategy:
    options = communication_options(collectives, has_gpus=bool(tf.config.get_visible_devices("GPU")))
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver(), options)


def communication_options(collectives: str, *, has_gpus: bool) -> tf.distribute.experimental.CommunicationOptions:
    """Return how workers exchange gradients.

    TensorFlow's own choice for several workers is always the ring, which sends GPUs' tensors through host memory.

    Args:
        collectives: `auto` (NCCL if this worker has GPUs, else the ring), `nccl` or `ring`.
        has_gpus: Whether this worker has GPUs.
    """
    options = tf.distribute.experimental.CommunicationOptions
    implementation = tf.distribute.experimental.CommunicationImplementation
    if collectives == "nccl" or (collectives == "auto" and has_gpus):
        return options(implementation=implementation.NCCL, bytes_per_pack=_BYTES_PER_PACK)
    return options(implementation=implementation.RING)
