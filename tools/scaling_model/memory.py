"""Memory of a replica at every image size of an architecture, by training's own estimate."""

from __future__ import annotations

import dataclasses

from sagan_tf.config import Config, ModelConfig, Resolutions
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.networks.architectures import ARCHITECTURES, Stages
from sagan_tf.training.network_scalars import count_parameters
from sagan_tf.training.run_summary import compute_activation_bytes, count_large_map_values, estimate_memory
from sagan_tf.training.state import TrainState, create_state

_USED_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class ReplicaMemory:
    """The memory of a replica on a GPU: `sagan_tf.training.run_summary.estimate_memory`.

    Attributes:
        model: at one image size.
        parameters: of the generator and of the discriminator.
        weights_bytes: of weights, gradients, Adam's moments, the averaged generator and TensorFlow itself.
        image_bytes: of what one image leaves for the backward pass, but for large attention maps.
        value_bytes: of one value that is kept for the backward pass.
    """

    model: ModelConfig
    parameters: tuple[int, int]
    weights_bytes: int
    image_bytes: int
    value_bytes: int = 4

    def of(self, images: int) -> int:
        """Bytes with so many images at once: of a replica, or of one part in gradient accumulation."""
        with assume_device("GPU"):
            large_maps = count_large_map_values(self.model, images)
        return self.weights_bytes + images * self.image_bytes + large_maps * self.value_bytes

    def fewest_parts(self, batch_size: int, memory_bytes: float) -> int | None:
        """Return into how few equal parts to cut a batch to fit it into nine tenths of a memory; None: none fit."""
        divisors = (parts for parts in range(1, batch_size + 1) if batch_size % parts == 0)
        return next((parts for parts in divisors if self.of(batch_size // parts) <= _USED_SHARE * memory_bytes), None)

    def most_images(self, memory_bytes: float) -> int:
        """Images that fit at most, 0 if not even one does."""
        most = max(int((memory_bytes - self.weights_bytes) // self.image_bytes), 0)
        # Large maps come on top, unless there are so many that they are computed in blocks.
        return next((images for images in range(most, 0, -1) if self.of(images) <= memory_bytes), 0)


def replica_memory(config: Config, state: TrainState) -> ReplicaMemory:
    """Of a configuration, whose state has the networks to count."""
    with assume_device("CPU"):  # which keeps no large maps
        one, two = (_estimate(config, state, images) for images in (1, 2))
    parameters = count_parameters(state.generator), count_parameters(state.discriminator)
    value_bytes = compute_activation_bytes(config.training.precision)
    return ReplicaMemory(config.model, parameters, 2 * one - two, two - one, value_bytes)


def at_every_resolution(config: Config) -> list[ReplicaMemory]:
    """Of `config` at each image size of its architecture.

    Where an image size lacks a feature map that has attention, the largest one below has it. Widths and downsampling
    that the configuration itself sets are for one image size, which is then the only one.
    """
    model, stages = config.model, ARCHITECTURES[config.model.architecture].stages
    models = [_resized(model, resolution, stages[resolution]) for resolution in sorted(stages)]
    if model.generator_widths or model.discriminator_widths or model.discriminator_downsample:
        models = [model]
    configs = [dataclasses.replace(config, model=model) for model in models]
    return [replica_memory(one, create_state(one)) for one in configs]


def _estimate(config: Config, state: TrainState, images: int) -> int:
    batch = images * config.training.gradient_accumulation_steps
    training = dataclasses.replace(config.training, global_batch_size=batch)
    return estimate_memory(dataclasses.replace(config, training=training), state, 1)


def _resized(model: ModelConfig, resolution: int, stages: Stages) -> ModelConfig:
    return dataclasses.replace(
        model,
        resolution=resolution,
        generator_attention_resolutions=_nearest(model.generator_attention, stages.compute_generator_resolutions()),
        discriminator_attention_resolutions=_nearest(
            model.discriminator_attention, stages.compute_discriminator_resolutions(resolution)
        ),
    )


def _nearest(wanted: Resolutions, available: Resolutions) -> Resolutions:
    found = (max((size for size in available if size <= one), default=min(available)) for one in wanted)
    return tuple(sorted(set(found)))
