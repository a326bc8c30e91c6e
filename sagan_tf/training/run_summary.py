"""The description of a run before training: data, networks, devices, memory."""

from __future__ import annotations

import logging
import textwrap
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, Resolutions, get_option_values
from sagan_tf.data.class_balance import MAX_IMBALANCE, compute_imbalance
from sagan_tf.data.sources.source import Source
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.layers.blockwise_attention import has_large_map, is_blockwise
from sagan_tf.networks.architectures import find_stages
from sagan_tf.training.label_sampling import UNIFORM, describe_remedy
from sagan_tf.training.network_scalars import count_parameters
from sagan_tf.training.state import TrainState

_logger = logging.getLogger("sagan_tf")
_BYTES_PER_FLOAT32 = 4
_FIXED_MEMORY_BYTES = 830_000_000
"""Memory of TensorFlow and its kernels: 580 MB measured before any network is built; the rest is a fit to the
measurements in `estimate_memory`."""
_MAX_SHOWN_CLASSES = 10
_MAX_CLASS_RATIO = 10
"""Largest class count relative to the smallest. Among many classes, a few small ones hardly change the distance from
equal counts."""


def describe_run(
    config: Config, source: Source, state: TrainState, strategy: tf.distribute.Strategy, images: np.ndarray
) -> dict[str, Any]:
    """Collect the description of a run.

    Args:
        config: The run.
        source: The training images.
        state: The state with the networks.
        strategy: The strategy of the run.
        images: float32 [batch, R, R, C], images as the networks receive them.

    Returns:
        A dictionary of JSON types.
    """
    replicas = strategy.num_replicas_in_sync
    histogram = dict(zip(source.class_names, source.class_counts.tolist(), strict=True)) if source.class_names else {}
    return {
        "data": {
            "name": source.name,
            "num_examples": source.num_examples,
            "num_classes": len(source.class_names),
            "label_histogram": histogram,
            "label_histogram_sample_size": source.class_counts_sample_size,
            "image_shape": list(images.shape[1:]),
            "image_range": [float(images.min()), float(images.max())],
        },
        "parameters": {
            "generator": count_parameters(state.generator),
            "discriminator": count_parameters(state.discriminator),
        },
        "devices": list(strategy.extended.worker_devices),
        "replicas": replicas,
        "estimated_memory_bytes_per_replica": estimate_memory(config, state, replicas),
        "configuration": get_option_values(config),
    }


def log_description(description: dict[str, Any]) -> None:
    """Log the description, and warn if one label dominates or if classes are unbalanced."""
    data, parameters = description["data"], description["parameters"]
    low, high = data["image_range"]
    histogram = data["label_histogram"]
    _logger.info("data: %s, %d images, shape %s, range [%.2f, %.2f]", data["name"], data["num_examples"],
                 "x".join(map(str, data["image_shape"])), low, high)  # fmt: skip
    if histogram:
        shown = ", ".join(f"{name} {count}" for name, count in list(histogram.items())[:_MAX_SHOWN_CLASSES])
        more = len(histogram) - _MAX_SHOWN_CLASSES
        _logger.info("labels: %d classes: %s%s", len(histogram), shown, f" and {more} more" if more > 0 else "")
    else:
        _logger.info("labels: none")
    _logger.info("parameters: generator %s, discriminator %s", *(f"{count:,}" for count in parameters.values()))
    gibibytes = description["estimated_memory_bytes_per_replica"] / 2**30
    _logger.info("devices: %s; about %.1f GiB of memory each", ", ".join(description["devices"]), gibibytes)
    settings = " ".join(f"{name}={_format_value(value)}" for name, value in description["configuration"].items())
    for line in textwrap.wrap(f"configuration: {settings}", 118, subsequent_indent="  ", break_on_hyphens=False):
        _logger.info("%s", line)
    _warn_if_label_dominates(histogram)
    _warn_if_unbalanced(description)
    _warn_if_images_are_few(data["num_examples"], description["configuration"]["global_batch_size"])


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "unset" if value is None else str(value) or "''"


def estimate_memory(config: Config, state: TrainState, num_replicas: int) -> int:
    """Estimate the memory of a training step on one replica, in bytes.

    The estimate is the sum of the weights, the gradients, Adam's moments, the activations that the larger of the two
    updates keeps for its backward pass, and a constant for TensorFlow and the temporary memory of its kernels.
    Processes on a CPU that computed convolutions as a GPU does (`--resampling=strided`) took 0.96 to 1.09 times the
    estimate (quickstart, cifar10, and imagenet with batches of 4, 8 and 16). The CPU's own forms of convolution take
    more at large batches: cifar10 2.93 GB, with an estimate of 1.75 GB.

    Args:
        config: The run.
        state: The state with the networks.
        num_replicas: The number of replicas.
    """
    generator, discriminator = count_parameters(state.generator), count_parameters(state.discriminator)
    moments = 2 if config.training.adam_beta1 else 1  # without a first moment if beta_1 is 0
    weights = (3 + moments) * generator + (
        2 + moments
    ) * discriminator  # weights, gradients and moments; the EMA generator
    part = config.training.global_batch_size // num_replicas // config.training.gradient_accumulation_steps
    activations = part * _count_activations_per_image(config.model) + count_large_map_values(config.model, part)
    return (
        _FIXED_MEMORY_BYTES
        + weights * _BYTES_PER_FLOAT32
        + activations * compute_activation_bytes(config.training.precision)
    )


def compute_activation_bytes(precision: str) -> int:
    """Return the bytes of one value that is kept for the backward pass."""
    return _BYTES_PER_FLOAT32 if precision == "float32" else _BYTES_PER_FLOAT32 // 2


def count_large_map_values(model: ModelConfig, images: int) -> int:
    """Count the values of complete large attention maps and their gradients.

    A map is large if attention may compute it in blocks. A CPU always does so, and an accelerator only if the maps of
    the batch do not fit into its memory. So the count is not proportional to the number of images.

    Args:
        model: The networks.
        images: The number of real images in a forward pass. The discriminator also sees as many fake images.
    """

    def count(sizes: Resolutions, batch: int) -> int:
        maps = _compute_map_sizes(model, sizes)
        return _count_map_values([m for m in maps if has_large_map(*m) and not is_blockwise(batch, *m)], batch)

    generator_sizes, discriminator_sizes = model.generator_attention, model.discriminator_attention
    return max(
        count(discriminator_sizes, 2 * images), count(generator_sizes, images) + count(discriminator_sizes, images)
    )


def _count_activations_per_image(model: ModelConfig) -> int:
    """Count the values kept for one image, except those of large attention maps.

    In the discriminator's update these are the values for a real and a fake image; in the generator's update, those of
    both networks for a fake image.
    """
    stages = find_stages(model)
    base, discriminator_base = model.base_channels, model.discriminator_channels
    resolutions = stages.compute_discriminator_resolutions(model.resolution)
    inputs = (model.resolution, *resolutions)
    discriminator = sum(
        # two convolutions and ReLUs at the block's input size, pooled sum at its output size
        4 * width * discriminator_base * size**2
        for width, size in zip(stages.discriminator, inputs, strict=False)
    )
    generator = sum(
        # upsampled input, two convolutions, normalization, gain, ReLU, and the shortcut
        7 * width * base * size**2
        for width, size in zip(stages.generator, stages.compute_generator_resolutions(), strict=True)
    )
    generator_maps, discriminator_maps = (
        _count_map_values([m for m in _compute_map_sizes(model, sizes) if not has_large_map(*m)], batch=1)
        for sizes in (model.generator_attention, model.discriminator_attention)
    )
    generator, discriminator = generator + generator_maps, discriminator + discriminator_maps
    return max(2 * discriminator, generator + discriminator)


def _compute_map_sizes(model: ModelConfig, sizes: Resolutions) -> list[tuple[int, int]]:
    """Return the number of queries and keys of attention at each size of feature maps."""
    form = ATTENTION_FORMS[model.attention_form]
    return [(size**2, form.compute_key_size(size) ** 2) for size in sizes]


def _count_map_values(maps: list[tuple[int, int]], batch: int) -> int:
    """Count the values of the attention maps of a batch and of their gradients."""
    return 2 * batch * sum(queries * keys for queries, keys in maps)


def _warn_if_label_dominates(histogram: dict[str, int]) -> None:
    if not histogram:
        return
    name, count = max(histogram.items(), key=lambda item: item[1])
    share = count / max(sum(histogram.values()), 1)
    # The limit is halfway between an equal share and all images. A single class always leads to a warning.
    if share > (1 + 1 / len(histogram)) / 2 or len(histogram) == 1:
        _logger.warning(
            "ONE LABEL DOMINATES: %.0f %% of the images have class %r. If --data_dir is a directory level too high or "
            "too low, all images get one label, and the samples of a class-conditional GAN collapse. Check --data_dir.",
            100 * share,
            name,
        )


def _warn_if_unbalanced(description: dict[str, Any]) -> None:
    """Suggest `label_sampling` if the networks learn classes of very different sizes with its default."""
    data, options = description["data"], description["configuration"]
    counts = np.array(list(data["label_histogram"].values()))
    if len(counts) < 2 or not counts.any() or options["conditioning"] == "none" or options["label_sampling"] != UNIFORM:
        return
    is_exact = data["label_histogram_sample_size"] == data["num_examples"]  # counts of a small sample differ by chance
    has_small_class = is_exact and counts.max() > _MAX_CLASS_RATIO * counts.min()
    if compute_imbalance(counts) > MAX_IMBALANCE or has_small_class:
        names = list(data["label_histogram"])
        _logger.warning(
            "UNBALANCED CLASSES: %d images of class %r, and %d of class %r. %s (docs/own_images.md).",
            counts.max(),
            names[counts.argmax()],
            counts.min(),
            names[counts.argmin()],
            describe_remedy(options["loss"], has_empty_class=is_exact and not counts.all(), is_exact=is_exact),
        )


def _warn_if_images_are_few(num_images: int, batch_size: int) -> None:
    if num_images < batch_size:
        _logger.warning(
            "FEW IMAGES: each batch of --global_batch_size=%d repeats the %d images of the data set. The discriminator "
            "soon memorizes so few images: use more, or try --augment.",
            batch_size,
            num_images,
        )
