"""What a run says of itself before it trains: data, networks, devices, memory."""

from __future__ import annotations

import logging
import textwrap
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, Resolutions, option_values
from sagan_tf.data.sources.source import Source
from sagan_tf.layers.blockwise_attention import has_large_map, is_blockwise
from sagan_tf.networks.architectures import find_stages
from sagan_tf.training.network_scalars import parameter_count
from sagan_tf.training.state import TrainState

_logger = logging.getLogger("sagan_tf")
_FLOAT_BYTES = 4
_CONSTANT_BYTES = 830_000_000
"""580 MB before any network is built, measured; the rest is what best agrees with the measurements below."""
_SHOWN_CLASSES = 10


def describe_run(
    config: Config, source: Source, state: TrainState, strategy: tf.distribute.Strategy, images: np.ndarray
) -> dict[str, Any]:
    """Collect what a run should say of itself; `images` is a batch as the networks get it."""
    replicas = strategy.num_replicas_in_sync
    labelled = bool(source.class_names)
    return {
        "data": {
            "name": source.name,
            "num_examples": source.num_examples,
            "num_classes": len(source.class_names),
            "label_histogram": dict(zip(source.class_names, source.class_counts.tolist(), strict=True))
            if labelled
            else {},
            "label_histogram_sample_size": source.class_counts_sample_size,
            "image_shape": list(images.shape[1:]),
            "image_range": [float(images.min()), float(images.max())],
        },
        "parameters": {
            "generator": parameter_count(state.generator),
            "discriminator": parameter_count(state.discriminator),
        },
        "devices": list(strategy.extended.worker_devices),
        "replicas": replicas,
        "estimated_memory_bytes_per_replica": estimate_memory(config, state, replicas),
        "configuration": option_values(config),
    }


def log_description(description: dict[str, Any]) -> None:
    """Write the description to the log, and warn of what spoils a run in silence."""
    data, parameters = description["data"], description["parameters"]
    low, high = data["image_range"]
    histogram = data["label_histogram"]
    _logger.info("data: %s, %d images, shape %s, range [%.2f, %.2f]", data["name"], data["num_examples"],
                 "x".join(map(str, data["image_shape"])), low, high)  # fmt: skip
    if histogram:
        shown = ", ".join(f"{name} {count}" for name, count in list(histogram.items())[:_SHOWN_CLASSES])
        more = len(histogram) - _SHOWN_CLASSES
        _logger.info("labels: %d classes: %s%s", len(histogram), shown, f" and {more} more" if more > 0 else "")
    else:
        _logger.info("labels: none")
    _logger.info("parameters: generator %s, discriminator %s", *(f"{n:,}" for n in parameters.values()))
    gibibytes = description["estimated_memory_bytes_per_replica"] / 2**30
    _logger.info("devices: %s; about %.1f GiB of memory each", ", ".join(description["devices"]), gibibytes)
    settings = " ".join(f"{name}={_shown(value)}" for name, value in description["configuration"].items())
    for line in textwrap.wrap(f"configuration: {settings}", 118, subsequent_indent="  ", break_on_hyphens=False):
        _logger.info("%s", line)
    _warn_of_dominant_label(histogram)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "unset" if value is None else str(value) or "''"


def estimate_memory(config: Config, state: TrainState, num_replicas: int) -> int:
    """Estimate the memory of a training step on one replica, in bytes.

    It is the sum of the weights, the gradients, Adam's moments, the activations that the larger of the two updates
    keeps for its backward pass, and a constant for TensorFlow itself and for what its kernels need meanwhile. Processes
    on a CPU that computed convolutions as a GPU does (`--resampling=strided`) took 0.96 to 1.09 times the estimate
    (quickstart, cifar10, and imagenet with batches of 4, 8 and 16). The CPU's own forms of convolution take more at
    large batches: cifar10 2.93 GB, where this says 1.75 GB.
    """
    generator, discriminator = parameter_count(state.generator), parameter_count(state.discriminator)
    moments = 2 if config.training.adam_beta1 else 1  # the first is not kept where it would be the gradient
    weights = (3 + moments) * generator + (2 + moments) * discriminator  # and gradients; the averaged generator
    part = config.training.global_batch_size // num_replicas // config.training.gradient_accumulation_steps
    activations = part * _activations_per_image(config.model) + large_map_values(config.model, part)
    return _CONSTANT_BYTES + weights * _FLOAT_BYTES + activations * activation_bytes(config.training.precision)


def activation_bytes(precision: str) -> int:
    """Return the size of one value that is kept for the backward pass."""
    return _FLOAT_BYTES if precision == "float32" else _FLOAT_BYTES // 2


def large_map_values(model: ModelConfig, images: int) -> int:
    """Count the values of large attention maps that are in memory whole, with their gradients.

    A map is large where one image's may be computed in blocks. A CPU always does that, and an accelerator only for
    batches whose maps it has no room for, so the number is not proportional to the images.

    Args:
        model: the networks.
        images: real images that are worked through at once. The discriminator sees as many fake ones beside them.
    """

    def count(sizes: Resolutions, batch: int) -> int:
        maps = [one for one in _map_sizes(model, sizes) if has_large_map(*one) and not is_blockwise(batch, *one)]
        return _values(maps, batch)

    of_generator, of_discriminator = model.generator_attention, model.discriminator_attention
    return max(count(of_discriminator, 2 * images), count(of_generator, images) + count(of_discriminator, images))


def _activations_per_image(model: ModelConfig) -> int:
    """Count the values kept for one image, but for those of large attention maps.

    The discriminator sees a real and a fake image, or the values of the generator are kept too.
    """
    stages = find_stages(model)
    base, base_of_discriminator = model.base_channels, model.discriminator_channels
    resolutions = stages.discriminator_resolutions(model.resolution)
    inputs = (model.resolution, *resolutions)
    discriminator = sum(
        # two convolutions and ReLUs at the block's input size, pooled sum at its output size
        4 * width * base_of_discriminator * size**2
        for width, size in zip(stages.discriminator, inputs, strict=False)
    )
    generator = sum(
        # upsampled input, two convolutions, normalization, gain, ReLU, and the shortcut
        7 * width * base * size**2
        for width, size in zip(stages.generator, stages.generator_resolutions(), strict=True)
    )
    maps, maps_of_discriminator = (
        _values([one for one in _map_sizes(model, sizes) if not has_large_map(*one)], batch=1)
        for sizes in (model.generator_attention, model.discriminator_attention)
    )
    return max(2 * (discriminator + maps_of_discriminator), generator + maps + discriminator + maps_of_discriminator)


def _map_sizes(model: ModelConfig, sizes: Resolutions) -> list[tuple[int, int]]:
    """Return the queries and keys of attention at each of some sizes of feature maps."""
    shrink = 4 if model.attention_form == "pooled" else 1
    return [(size**2, size**2 // shrink) for size in sizes]


def _values(maps: list[tuple[int, int]], batch: int) -> int:
    """Count the values of attention maps of a batch and of their gradients."""
    return 2 * batch * sum(queries * keys for queries, keys in maps)


def _warn_of_dominant_label(histogram: dict[str, int]) -> None:
    if not histogram:
        return
    name, count = max(histogram.items(), key=lambda item: item[1])
    share = count / max(sum(histogram.values()), 1)
    # Half way between an equal share and everything; a single class is always worth a word.
    if share > (1 + 1 / len(histogram)) / 2 or len(histogram) == 1:
        _logger.warning(
            "ONE LABEL DOMINATES: %.0f %% of the images are of class %r. A wrong folder level gives one label to "
            "everything, and the samples of a class-conditional GAN then collapse. Check data_dir.",
            100 * share,
            name,
        )
