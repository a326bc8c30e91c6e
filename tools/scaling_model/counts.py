"""Counts of what a training step computes, sends, keeps and reads, from the networks and graphs of training."""

from __future__ import annotations

import dataclasses
import statistics

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.config import Config, Resolutions
from sagan_tf.data.images.preprocessing import decode_image
from sagan_tf.data.sources.tfrecord import serialize_record
from sagan_tf.distribution.strategy import create_communication_options
from sagan_tf.layers import SelfAttention2D
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.networks.architectures import ARCHITECTURES
from sagan_tf.training.ema import move_average
from sagan_tf.training.run_summary import estimate_memory
from sagan_tf.training.state import TrainState
from sagan_tf.training.steps import DISCRIMINATOR_METRICS, GENERATOR_METRICS
from sagan_tf.training.updates import create_updates
from tools.benchmarks.arithmetic import count_multiply_adds, find_called_graphs, find_used_operations
from tools.benchmarks.pipeline_data import create_photograph, encode_jpeg
from tools.preparation.record_set import DEFAULT_IMAGE_FORMAT, DEFAULT_JPEG_QUALITY
from tools.preparation.shards import encode_image
from tools.scaling_model.prediction import BatchWork, Device, Reduction, Work

_PRODUCTS = frozenset(["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul", "BatchMatMulV2"])
"""Operations whose duration depends on their arithmetic, not on memory traffic."""
_OPERATIONS_WITHOUT_COPY = frozenset(
    [
        *("Const", "Placeholder", "NoOp", "Identity", "IdentityN", "StopGradient", "PreventGradient"),
        *("Reshape", "ExpandDims", "Squeeze", "Shape", "ShapeN", "Size", "Rank"),
        *("VarHandleOp", "ReadVariableOp", "AssignVariableOp"),
        *("If", "StatelessIf", "While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"),
    ]
)
"""Operations that move no data: they rename it or pass it on."""
_DTYPES_WITHOUT_DATA = (tf.resource, tf.variant, tf.string)
_BYTES_PER_FLOAT32 = 4
_RECORD_FRAME_BYTES = 16  # the length of a record and two checksums


def count_graph_work(graph: tf.Graph) -> Work:
    """Count the work that a graph's results and side effects need.

    Both branches of a condition count. A function that XLA compiles is one operation: it reads its inputs and writes
    its outputs once. Tensors whose size is not known before they are computed are left out of the traffic.
    """
    traffic, operations = _count_traffic_and_operations(graph)
    return Work(2.0 * count_multiply_adds(graph, transforms=True), float(traffic), float(operations))


def _count_traffic_and_operations(graph: tf.Graph) -> tuple[int, int]:
    traffic = count = 0
    for operation in find_used_operations(graph):
        attributes = operation.node_def.attr
        if "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b:
            traffic, count = traffic + _count_moved_bytes(operation), count + 1
            continue
        for inner in find_called_graphs(operation):
            inner_traffic, inner_count = _count_traffic_and_operations(inner)
            traffic, count = traffic + inner_traffic, count + inner_count
        if operation.type not in _OPERATIONS_WITHOUT_COPY:
            traffic += 0 if operation.type in _PRODUCTS else _count_moved_bytes(operation)
            has_floats = any(tensor.dtype.is_floating for tensor in operation.outputs)
            count += has_floats or operation.type.startswith("ResourceApply")
    return traffic, count


def _count_moved_bytes(operation: tf.Operation) -> int:
    tensors = sum(map(_count_bytes, [*operation.inputs, *operation.outputs]))
    if not operation.type.startswith("ResourceApply"):
        return tensors
    # An optimizer reads and writes each of its variables, which are as large as the gradient.
    variables = sum(tensor.dtype == tf.resource for tensor in operation.inputs)
    return tensors + 2 * variables * max(map(_count_bytes, operation.inputs))


def _count_bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype in _DTYPES_WITHOUT_DATA or not tensor.shape.is_fully_defined():
        return 0
    return tensor.shape.num_elements() * tensor.dtype.size


def count_step(config: Config, state: TrainState) -> dict[str, BatchWork]:
    """Count the work of a replica in the parts of a step and in the whole step.

    The updates are traced with layers in their forms for a GPU. Attention in blocks counts as if it computed its whole
    map at once, and the layers of `state` do so afterwards.
    """
    for layer in [*state.generator.layers, *state.discriminator.layers]:
        if isinstance(layer, SelfAttention2D):
            layer.blockwise = False  # only one iteration of a loop could be counted
    averaged, weights = state.generator_ema.variables, state.generator.variables
    average = tf.function(lambda decay: move_average(averaged, weights, decay), autograph=False)
    averaging = np.array(count_graph_work(average.get_concrete_function(tf.TensorSpec([])).graph))

    def count_parts(images: int) -> np.ndarray:
        discriminator, generator = np.array(count_updates(config, state, images))
        step = config.training.discriminator_steps_per_step * discriminator + generator + averaging
        return np.stack([discriminator, generator, averaging, step])

    images = config.training.gradient_accumulation_steps
    parts = count_parts(images)
    per_image = (count_parts(2 * images) - parts) / images
    lines = zip((parts - images * per_image).tolist(), per_image.tolist(), strict=True)
    names = "update of the discriminator", "update of the generator", "EMA generator", "step"
    return {name: BatchWork(Work(*fixed), Work(*slope)) for name, (fixed, slope) in zip(names, lines, strict=True)}


def count_updates(config: Config, state: TrainState, images: int) -> tuple[Work, Work]:
    """Count the work of an update of the discriminator and of the generator on a replica with `images` images."""
    training = dataclasses.replace(config.training, global_batch_size=images)
    updates = create_updates(dataclasses.replace(config, training=training), state)
    size = config.model.resolution
    real_images = tf.TensorSpec([images, size, size, config.model.image_channels])
    labels, draw = tf.TensorSpec([images], tf.int32), tf.TensorSpec([], tf.int64)
    # Training compiles them without AutoGraph, too.
    functions = (tf.function(f, autograph=False) for f in (updates.discriminator_step, updates.generator_step))
    with assume_device("GPU"):
        discriminator, generator = (f.get_concrete_function(real_images, labels, draw).graph for f in functions)
    return count_graph_work(discriminator), count_graph_work(generator)


def list_reductions(config: Config, state: TrainState, bytes_per_pack: int | None = None) -> tuple[Reduction, ...]:
    """List everything that is all-reduced in a step.

    The GPUs of one worker send the gradients of an update as one message, and several workers send them in packs. The
    moving means and variances are one message at the end of the generator's update. u, sigma and the EMA generator are
    never sent, since every replica computes the same values. `bytes_per_pack` is None for the size that training on
    several workers with GPUs sets for `--collectives`.
    """
    if bytes_per_pack is None:
        bytes_per_pack = create_communication_options(config.training.collectives, has_gpus=True).bytes_per_pack
    repeats = config.training.discriminator_steps_per_step
    updates = repeats + 1
    logged = repeats * len(DISCRIMINATOR_METRICS) + len(GENERATOR_METRICS)
    discriminator, generator = (pack_gradients(net, bytes_per_pack) for net in (state.discriminator, state.generator))
    means = [variable for variable in state.generator.non_trainable_variables if variable.name == "moving_mean"]
    statistics_bytes = 2 * _BYTES_PER_FLOAT32 * sum(mean.shape[0] for mean in means)
    is_normalized = min(len(means), 1)
    kinds = [
        Reduction(
            "gradients of the discriminator", repeats, repeats * len(discriminator), repeats * sum(discriminator)
        ),
        Reduction("gradients of the generator", 1, len(generator), sum(generator)),
        Reduction("moving means and variances", is_normalized, is_normalized, statistics_bytes),
        Reduction("logged values", updates, updates, logged * _BYTES_PER_FLOAT32),
    ]
    if config.model.synchronized_batch_norm:
        # The generator runs a forward pass in every update, and a backward pass in its own update.
        passes = (updates + 1) * config.training.gradient_accumulation_steps
        messages = passes * len(means)
        kinds.append(Reduction("batch statistics", messages, messages, passes * statistics_bytes))
    if config.training.precision == "mixed_float16":
        kinds.append(Reduction("whether gradients overflowed", updates, updates, updates * _BYTES_PER_FLOAT32))
    return tuple(kinds)


def pack_gradients(network: keras.Model, bytes_per_pack: int) -> list[int]:
    """Divide the float32 gradients of a network into messages, as TensorFlow does; return the bytes of each.

    A pack takes whole gradients until it is larger than `bytes_per_pack`; 0: one pack. The last variables come first,
    since their gradients are computed first.
    """
    packs = [0]
    for variable in reversed(network.trainable_variables):
        if bytes_per_pack and packs[-1] > bytes_per_pack:
            packs.append(0)
        packs[-1] += variable.value.shape.num_elements() * _BYTES_PER_FLOAT32
    return packs


def estimate_replica_memory(config: Config, state: TrainState, images: int, device_type: str = "GPU") -> int:
    """Estimate the bytes of a replica with `images` simultaneous images, as training does.

    The images are those of a replica or of one part of gradient accumulation. `device_type` is "CPU" for the memory
    without large attention maps, which a CPU never keeps.
    """
    batch = images * config.training.gradient_accumulation_steps
    training = dataclasses.replace(config.training, global_batch_size=batch)
    with assume_device(device_type):
        return estimate_memory(dataclasses.replace(config, training=training), state, 1)


def find_max_images(config: Config, state: TrainState, device: Device) -> int:
    """Return the largest number of images that fit into the memory of a GPU; 0 if none fits."""
    weights, image = split_memory(config, state)
    limit = max(int((device.memory_bytes - weights) // image), 0)
    # Large maps are added, unless there are so many that they are computed in blocks.
    numbers = range(limit, 0, -1)
    return next((n for n in numbers if estimate_replica_memory(config, state, n) <= device.memory_bytes), 0)


def split_memory(config: Config, state: TrainState) -> tuple[int, int]:
    """Return the bytes that do not depend on the batch, and those of an image without large attention maps."""
    one, two = (estimate_replica_memory(config, state, images, "CPU") for images in (1, 2))
    return 2 * one - two, two - one


def list_resolutions(config: Config) -> list[Config]:
    """Return `config` at each resolution of its architecture.

    If a resolution lacks a feature map that has attention, the next smaller map has it. Widths and downsampling that
    the configuration sets itself are valid for one resolution only, which is then the only one in the result.
    """
    model, stages = config.model, ARCHITECTURES[config.model.architecture].stages
    if model.generator_widths or model.discriminator_widths or model.discriminator_downsample:
        return [config]

    def find_available(wanted: Resolutions, available: Resolutions) -> Resolutions:
        found = (max((size for size in available if size <= limit), default=min(available)) for limit in wanted)
        return tuple(sorted(set(found)))

    def resize(resolution: int) -> Config:
        generator_sizes = stages[resolution].compute_generator_resolutions()
        discriminator_sizes = stages[resolution].compute_discriminator_resolutions(resolution)
        resized = dataclasses.replace(
            model,
            resolution=resolution,
            generator_attention_resolutions=find_available(model.generator_attention, generator_sizes),
            discriminator_attention_resolutions=find_available(model.discriminator_attention, discriminator_sizes),
        )
        return dataclasses.replace(config, model=resized)

    return [resize(resolution) for resolution in sorted(stages)]


def measure_prepared_bytes(resolution: int, image_channels: int) -> float:
    """Measure the mean bytes of a record that `tools/prepare_imagenet.py` makes of an image like a photograph."""
    image_format = "png" if image_channels == 4 else DEFAULT_IMAGE_FORMAT

    def measure(seed: int) -> int:
        image = decode_image(encode_jpeg(create_photograph(seed)), resolution=resolution, image_channels=image_channels)
        encoded = encode_image(image, image_format, DEFAULT_JPEG_QUALITY)
        return len(serialize_record(encoded, seed, b"n01440764/n01440764_10026.JPEG")) + _RECORD_FRAME_BYTES

    return statistics.mean(map(measure, range(8)))
