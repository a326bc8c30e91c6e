"""Memory of a replica at every resolution of an architecture, by the estimate that training prints."""

from __future__ import annotations

import dataclasses

from sagan_tf.config import Config, ModelConfig, Resolutions
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.networks.architectures import ARCHITECTURES, Stages
from sagan_tf.training.network_scalars import count_parameters
from sagan_tf.training.run_summary import compute_activation_bytes, count_large_map_values, estimate_memory
from sagan_tf.training.state import TrainState, create_state

_MAX_USED_FRACTION = 0.9


@dataclasses.dataclass(frozen=True)
class ReplicaMemory:
    """Memory of a replica on a GPU, as `sagan_tf.training.run_summary.estimate_memory` computes it.

    Attributes:
        model: Model at one resolution.
        parameters: Number of parameters of the generator and of the discriminator.
        weights_bytes: Bytes of weights, gradients, Adam's moments, the EMA generator and TensorFlow itself.
        image_bytes: Bytes that one image keeps for the backward pass, without large attention maps.
        value_bytes: Bytes of one value that is kept for the backward pass.
    """

    model: ModelConfig
    parameters: tuple[int, int]
    weights_bytes: int
    image_bytes: int
    value_bytes: int = 4

    def compute_bytes(self, images: int) -> int:
        """Compute the memory in bytes of a number of simultaneous images.

        They are the images of a replica or, with gradient accumulation, of one part of its batch.
        """
        with assume_device("GPU"):
            large_maps = count_large_map_values(self.model, images)
        return self.weights_bytes + images * self.image_bytes + large_maps * self.value_bytes

    def find_min_parts(self, batch_size: int, memory_bytes: float) -> int | None:
        """Return the smallest number of equal parts of a batch that fit into memory.

        A part fits if it takes at most nine tenths of the memory. The result is None if not even a part of one image
        fits.
        """
        divisors = (parts for parts in range(1, batch_size + 1) if batch_size % parts == 0)
        return next(
            (
                parts
                for parts in divisors
                if self.compute_bytes(batch_size // parts) <= _MAX_USED_FRACTION * memory_bytes
            ),
            None,
        )

    def find_max_images(self, memory_bytes: float) -> int:
        """Return the largest number of images that fit into memory; 0 if none fits."""
        limit = max(int((memory_bytes - self.weights_bytes) // self.image_bytes), 0)
        # Large maps are added, unless there are so many that they are computed in blocks.
        return next((images for images in range(limit, 0, -1) if self.compute_bytes(images) <= memory_bytes), 0)


def estimate_replica_memory(config: Config, state: TrainState) -> ReplicaMemory:
    """Estimate the memory of a configuration from the networks in its state."""
    with assume_device("CPU"):  # a CPU keeps no large maps
        one_image, two_images = (_estimate_bytes(config, state, images) for images in (1, 2))
    parameters = count_parameters(state.generator), count_parameters(state.discriminator)
    value_bytes = compute_activation_bytes(config.training.precision)
    return ReplicaMemory(config.model, parameters, 2 * one_image - two_images, two_images - one_image, value_bytes)


def estimate_memory_by_resolution(config: Config) -> list[ReplicaMemory]:
    """Estimate the memory of `config` at each resolution of its architecture.

    If a resolution lacks a feature map that has attention, the next smaller map has it. Widths and downsampling that
    the configuration sets itself are valid for one resolution only, which is then the only one in the result.
    """
    model, stages = config.model, ARCHITECTURES[config.model.architecture].stages
    models = [_change_resolution(model, resolution, stages[resolution]) for resolution in sorted(stages)]
    if model.generator_widths or model.discriminator_widths or model.discriminator_downsample:
        models = [model]
    configs = [dataclasses.replace(config, model=model) for model in models]
    return [estimate_replica_memory(config, create_state(config)) for config in configs]


def _estimate_bytes(config: Config, state: TrainState, images: int) -> int:
    batch = images * config.training.gradient_accumulation_steps
    training = dataclasses.replace(config.training, global_batch_size=batch)
    return estimate_memory(dataclasses.replace(config, training=training), state, 1)


def _change_resolution(model: ModelConfig, resolution: int, stages: Stages) -> ModelConfig:
    return dataclasses.replace(
        model,
        resolution=resolution,
        generator_attention_resolutions=_find_available_resolutions(
            model.generator_attention, stages.compute_generator_resolutions()
        ),
        discriminator_attention_resolutions=_find_available_resolutions(
            model.discriminator_attention, stages.compute_discriminator_resolutions(resolution)
        ),
    )


def _find_available_resolutions(wanted: Resolutions, available: Resolutions) -> Resolutions:
    found = (max((size for size in available if size <= limit), default=min(available)) for limit in wanted)
    return tuple(sorted(set(found)))
