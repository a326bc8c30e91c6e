"""Memory at every resolution, compared with training's own estimate."""

from __future__ import annotations

import dataclasses

from sagan_tf.layers.accelerators import assume_device
from sagan_tf.networks.architectures import ARCHITECTURES
from sagan_tf.training.run_summary import estimate_memory
from sagan_tf.training.state import create_state
from tests.training.tiny import tiny_config
from tools.scaling_model.memory import ReplicaMemory, estimate_memory_by_resolution, estimate_replica_memory


def test_memory_equals_the_estimate_of_a_run() -> None:
    config = tiny_config(global_batch_size=12)
    state = create_state(config)
    for replicas in (1, 2, 3):
        assert estimate_replica_memory(config, state).compute_bytes(12 // replicas) == estimate_memory(
            config, state, replicas
        )


def test_large_attention_maps_are_kept_if_they_fit_on_a_gpu() -> None:
    """A GPU keeps the maps of eight images; it computes those of more in blocks."""
    options = {"resolution": 64, "attention_form": "full", "discriminator_attention_resolutions": ()}
    config = tiny_config(**options, generator_attention_resolutions=(64,), precision="mixed_bfloat16")
    state = create_state(config)
    memory = estimate_replica_memory(config, state)
    for images in (1, 2, 8, 9):
        training = dataclasses.replace(config.training, global_batch_size=images)
        with assume_device("GPU"):
            estimate = estimate_memory(dataclasses.replace(config, training=training), state, 1)
        assert memory.compute_bytes(images) == estimate
    maps = 2 * 2 * 4096**2  # values of two bytes, with their gradients
    assert memory.compute_bytes(8) == memory.weights_bytes + 8 * (memory.image_bytes + maps)
    assert memory.compute_bytes(9) < memory.compute_bytes(8)
    assert (
        memory.find_max_images(memory.compute_bytes(8) - 1)
        == (memory.compute_bytes(8) - 1 - memory.weights_bytes) // memory.image_bytes
    )
    assert memory.find_max_images(memory.compute_bytes(3)) >= 3 and memory.compute_bytes(
        memory.find_max_images(memory.compute_bytes(3))
    ) <= memory.compute_bytes(3)


def test_accumulation_keeps_one_part_at_a_time() -> None:
    config = tiny_config(global_batch_size=12, gradient_accumulation_steps=3)
    state = create_state(config)
    assert estimate_replica_memory(config, state).compute_bytes(2) == estimate_memory(config, state, 2)


def test_every_resolution_of_the_architecture() -> None:
    config = tiny_config(attention_resolutions=(64,), resolution=128)
    memories = estimate_memory_by_resolution(config)
    assert [memory.model.resolution for memory in memories] == sorted(ARCHITECTURES["sagan"].stages)
    sizes = [memory.image_bytes for memory in memories]
    assert sizes == sorted(sizes) and sizes[-1] > 10 * sizes[0]
    # Attention moves to the next smaller feature map. The largest map of a discriminator is 32 at 64 px, 16 at 32 px.
    attention = {
        memory.model.resolution: (memory.model.generator_attention, memory.model.discriminator_attention)
        for memory in memories
    }
    assert attention == {32: ((32,), (16,)), 64: ((64,), (32,)), 128: ((64,), (64,)), 256: ((64,), (64,))}
    expected = estimate_replica_memory(config, create_state(config))
    assert dataclasses.replace(memories[2], model=config.model) == expected


def test_configured_widths_are_for_one_resolution_only() -> None:
    config = tiny_config(generator_widths=(4, 4, 2, 1), discriminator_base_channels=3)
    assert estimate_memory_by_resolution(config) == [estimate_replica_memory(config, create_state(config))]


def test_maximum_number_of_images() -> None:
    memory = ReplicaMemory(tiny_config().model, (1, 1), weights_bytes=100, image_bytes=30)
    assert [memory.find_max_images(size) for size in (99, 100, 129, 130, 1000)] == [0, 0, 0, 1, 30]
    assert memory.compute_bytes(30) <= 1000 < memory.compute_bytes(31)


def test_minimum_number_of_parts() -> None:
    memory = ReplicaMemory(tiny_config().model, (1, 1), weights_bytes=100, image_bytes=10)
    # Beside the weights, 80 images fit into nine tenths of 1000 bytes, 35 of 500 bytes, and 1 of 130 bytes.
    assert [memory.find_min_parts(64, size) for size in (1000, 500, 130, 100)] == [1, 2, 64, None]
