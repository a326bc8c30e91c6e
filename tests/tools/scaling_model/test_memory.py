"""Memory at every image size: training's own estimate."""

from __future__ import annotations

import dataclasses

from sagan_tf.layers.accelerators import assume_device
from sagan_tf.networks.architectures import ARCHITECTURES
from sagan_tf.training.run_summary import estimate_memory
from sagan_tf.training.state import create_state
from tests.training.tiny import tiny_config
from tools.scaling_model.memory import ReplicaMemory, at_every_resolution, replica_memory


def test_it_is_what_a_run_prints_at_its_start() -> None:
    config = tiny_config(global_batch_size=12)
    state = create_state(config)
    for replicas in (1, 2, 3):
        assert replica_memory(config, state).of(12 // replicas) == estimate_memory(config, state, replicas)


def test_large_attention_maps_are_kept_where_a_gpu_has_room_for_them() -> None:
    """A GPU keeps the maps of eight images here, and computes those of more in blocks."""
    options = {"resolution": 64, "attention_form": "full", "discriminator_attention_resolutions": ()}
    config = tiny_config(**options, generator_attention_resolutions=(64,), precision="mixed_bfloat16")
    state = create_state(config)
    memory = replica_memory(config, state)
    for images in (1, 2, 8, 9):
        training = dataclasses.replace(config.training, global_batch_size=images)
        with assume_device("GPU"):
            estimate = estimate_memory(dataclasses.replace(config, training=training), state, 1)
        assert memory.of(images) == estimate
    maps = 2 * 2 * 4096**2  # values of two bytes, and their gradients
    assert memory.of(8) == memory.weights_bytes + 8 * (memory.image_bytes + maps)
    assert memory.of(9) < memory.of(8)
    assert memory.most_images(memory.of(8) - 1) == (memory.of(8) - 1 - memory.weights_bytes) // memory.image_bytes
    assert memory.most_images(memory.of(3)) >= 3 and memory.of(memory.most_images(memory.of(3))) <= memory.of(3)


def test_accumulation_keeps_one_part_at_a_time() -> None:
    config = tiny_config(global_batch_size=12, gradient_accumulation_steps=3)
    state = create_state(config)
    assert replica_memory(config, state).of(2) == estimate_memory(config, state, 2)


def test_every_resolution_of_the_architecture() -> None:
    config = tiny_config(attention_resolutions=(64,), resolution=128)
    found = at_every_resolution(config)
    assert [one.model.resolution for one in found] == sorted(ARCHITECTURES["sagan"].stages)
    sizes = [one.image_bytes for one in found]
    assert sizes == sorted(sizes) and sizes[-1] > 10 * sizes[0]
    # Attention goes to the next smaller feature map: a discriminator of 64 px has its first at 32, one of 32 px at 16.
    attention = {
        one.model.resolution: (one.model.generator_attention, one.model.discriminator_attention) for one in found
    }
    assert attention == {32: ((32,), (16,)), 64: ((64,), (32,)), 128: ((64,), (64,)), 256: ((64,), (64,))}
    own = replica_memory(config, create_state(config))
    assert dataclasses.replace(found[2], model=config.model) == own


def test_stages_of_the_configuration_itself_are_for_one_resolution() -> None:
    config = tiny_config(generator_widths=(4, 4, 2, 1), discriminator_base_channels=3)
    assert at_every_resolution(config) == [replica_memory(config, create_state(config))]


def test_images_that_fit() -> None:
    memory = ReplicaMemory(tiny_config().model, (1, 1), weights_bytes=100, image_bytes=30)
    assert [memory.most_images(size) for size in (99, 100, 129, 130, 1000)] == [0, 0, 0, 1, 30]
    assert memory.of(30) <= 1000 < memory.of(31)


def test_a_batch_is_cut_into_as_few_parts_as_fit() -> None:
    memory = ReplicaMemory(tiny_config().model, (1, 1), weights_bytes=100, image_bytes=10)
    # Nine tenths of 1000 bytes hold 80 images beside the weights, of 500 bytes 35, of 130 bytes 1.
    assert [memory.fewest_parts(64, size) for size in (1000, 500, 130, 100)] == [1, 2, 64, None]
