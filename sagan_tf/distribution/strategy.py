"""TensorFlow's distribution strategies by name."""

from __future__ import annotations

import logging

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.cluster import create_cluster_resolver, has_cluster
from sagan_tf.distribution.devices import enable_gpu_memory_growth, prepare_for_inference, use_one_gpu
from sagan_tf.distribution.gpu_preflight import check_gpus
from sagan_tf.distribution.tpu import create_tpu_strategy, is_tpu_requested, warn_about_unused_tpu
from sagan_tf.errors import UserError

_logger = logging.getLogger("sagan_tf")
_BYTES_PER_PACK = 50 * 2**20
"""Size of a pack of gradients, so that gradients of the last layers are sent while other gradients are computed."""


def create_strategy(config: TrainingConfig) -> tf.distribute.Strategy:
    """Create the distribution strategy of a run.

    Call it before anything else uses TensorFlow's devices, because it also sets TensorFloat-32, determinism and the
    logical devices of the CPU.

    Args:
        config: The options of the run.

    Returns:
        The strategy that `config.strategy` names.

    Raises:
        UserError: The devices or the environment that the strategy needs are missing.
    """
    enable_gpu_memory_growth()
    tf.config.experimental.enable_tensor_float_32_execution(config.tf32)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    _split_cpu(config.logical_cpus)
    check_gpus(config.precision, only_first=config.strategy == "one_device")  # before TensorFlow uses the GPUs
    name = _choose_strategy() if config.strategy == "auto" else config.strategy
    if config.strategy == "auto" and name != "tpu":
        warn_about_unused_tpu()
    if name == "multi_worker":
        return _create_multi_worker(config.collectives)
    if name == "tpu":
        return create_tpu_strategy(config.precision)
    return {"one_device": _create_one_device, "mirrored": _create_mirrored}[name]()


def create_local_strategy(name: str, logical_cpus: int = 1) -> tf.distribute.Strategy:
    """Create a strategy for inference on this machine, without other workers.

    Args:
        name: `one_device`, `mirrored`, or `auto` for the one that uses all devices of this machine.
        logical_cpus: The number of logical devices that the CPU is split into.

    Raises:
        UserError: A GPU cannot be used, or TensorFlow has already split the CPU in another way.
    """
    prepare_for_inference()
    _split_cpu(logical_cpus)
    check_gpus(only_first=name == "one_device")
    name = _choose_local_strategy() if name == "auto" else name
    return {"one_device": _create_one_device, "mirrored": _create_mirrored}[name]()


def count_workers(strategy: tf.distribute.Strategy) -> int:
    """Return the number of processes that read data for a strategy."""
    resolver = strategy.cluster_resolver
    tasks = resolver.cluster_spec().as_dict() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else {}
    return sum(len(addresses) for addresses in tasks.values()) or 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes the run directory."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().as_dict()
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def check_batch_size(config: TrainingConfig, num_replicas: int, group_size: int = 0) -> None:
    """Check that the global batch can be split into equal parts.

    There is one part for each replica and accumulation step.

    Args:
        config: The options with the batch size and the number of accumulation steps.
        num_replicas: The number of replicas.
        group_size: The value of `--discriminator_minibatch_statistics`; 0 for none. Each part must consist of whole
            groups, because a group must not contain both real and fake images.

    Raises:
        UserError: The batch size is not a multiple of the number of parts.
    """
    divisor = num_replicas * config.gradient_accumulation_steps * (group_size or 1)
    if config.global_batch_size % divisor:
        groups = f" x --discriminator_minibatch_statistics={group_size}" if group_size else ""
        raise UserError(
            f"global_batch_size: expected a multiple of {divisor} ({num_replicas} replicas x "
            f"{config.gradient_accumulation_steps} accumulation steps{groups}), received {config.global_batch_size}"
        )


def check_jit_compile(config: TrainingConfig, strategy: tf.distribute.Strategy) -> None:
    """Check that XLA can compile an update as a whole.

    A TPU always compiles it.

    Raises:
        UserError: `--jit_compile` is set, and the strategy has several replicas that are not on a TPU.
    """
    replicas = strategy.num_replicas_in_sync
    if config.jit_compile and replicas > 1 and not isinstance(strategy, tf.distribute.TPUStrategy):
        raise UserError(
            f"jit_compile: --jit_compile needs one replica, because XLA does not compile all-reduces, but there are "
            f"{replicas}; set TF_XLA_FLAGS=--tf_xla_auto_jit=2 in the environment to compile the rest of a step"
        )


def _split_cpu(logical_cpus: int) -> None:
    if logical_cpus == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * logical_cpus
    try:
        tf.config.set_logical_device_configuration(cpu, devices)
    except (RuntimeError, ValueError):  # TensorFlow has already started with its logical devices.
        found = len(tf.config.list_logical_devices("CPU"))
        if found != logical_cpus:
            raise UserError(
                f"logical_cpus: expected {found}, because TensorFlow has already started, received {logical_cpus}"
            ) from None


def _choose_strategy() -> str:
    if is_tpu_requested():
        return "tpu"
    if has_cluster():
        return "multi_worker"
    return _choose_local_strategy()


def _choose_local_strategy() -> str:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return "mirrored" if len(devices) > 1 else "one_device"


def _create_one_device() -> tf.distribute.Strategy:
    use_one_gpu()
    return tf.distribute.OneDeviceStrategy("GPU:0" if tf.config.get_visible_devices("GPU") else "CPU:0")


def _create_mirrored() -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        if len(gpus) > 1:
            _logger.info("using all %d visible GPUs; CUDA_VISIBLE_DEVICES=0,1 would select two of them", len(gpus))
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(len(gpus))])
    cpus = [f"CPU:{index}" for index in range(len(tf.config.list_logical_devices("CPU")))]
    # Parts of one CPU share their memory, so the default collectives would only cost time. In addition, a second
    # strategy in the same process would reuse the collective keys of the first one.
    return tf.distribute.MirroredStrategy(cpus, cross_device_ops=tf.distribute.ReductionToOneDevice())


def _create_multi_worker(collectives: str) -> tf.distribute.Strategy:
    options = create_communication_options(collectives, has_gpus=bool(tf.config.get_visible_devices("GPU")))
    return tf.distribute.MultiWorkerMirroredStrategy(create_cluster_resolver(), options)


def create_communication_options(
    collectives: str, *, has_gpus: bool
) -> tf.distribute.experimental.CommunicationOptions:
    """Create the options by which workers exchange gradients.

    TensorFlow's default for several workers is always the ring, which sends tensors of GPUs through host memory.

    Args:
        collectives: `auto` (NCCL if this worker has GPUs, otherwise the ring), `nccl` or `ring`.
        has_gpus: Whether this worker has GPUs.
    """
    options = tf.distribute.experimental.CommunicationOptions
    implementation = tf.distribute.experimental.CommunicationImplementation
    if collectives == "nccl" or (collectives == "auto" and has_gpus):
        return options(implementation=implementation.NCCL, bytes_per_pack=_BYTES_PER_PACK)
    return options(implementation=implementation.RING)
