"""A step, read off training's own networks and graphs."""

from __future__ import annotations

import pytest

from sagan_tf.config import Config
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import tiny_config
from tools.scaling_model.step import Step, _traced_updates, measure_step, network_sizes

CONFIG = tiny_config(discriminator_steps_per_step=3)
# Without attention and normalisation of the generator, so traced at once.
PLAIN = {"architecture": "dcgan", "attention_resolutions": (), "generator_spectral_norm": False}


@pytest.fixture(scope="module")
def state() -> TrainState:
    return create_state(CONFIG)


@pytest.fixture(scope="module")
def step(state: TrainState) -> Step:
    return measure_step(CONFIG, state)


def measured(config: Config) -> Step:
    return measure_step(config, create_state(config))


def test_sizes_are_those_of_the_networks(state: TrainState) -> None:
    sizes = network_sizes(state)
    assert sizes.generator_variables == tuple(
        one.value.shape.num_elements() for one in state.generator.trainable_variables
    )
    assert sizes.generator == sum(one.value.shape.num_elements() for one in state.generator.trainable_variables)
    assert sizes.discriminator == sum(one.value.shape.num_elements() for one in state.discriminator.trainable_variables)
    # Two in each of three blocks, one before the image; channels are what goes in.
    assert sizes.normalizations == 7
    assert sizes.normalized_channels == 7 * 8


def test_work_is_a_straight_line_in_the_images(state: TrainState, step: Step) -> None:
    lines = step.discriminator_update, step.generator_update
    for line, work in zip(lines, _traced_updates(CONFIG, state, 7), strict=True):
        assert line.of(7).flops == pytest.approx(work.flops, rel=1e-9)
        # Gradients are added up in other ways for a batch of one: a few numbers.
        assert line.of(7).traffic_bytes == pytest.approx(work.traffic_bytes, rel=1e-5)
        assert line.of(7).operations == work.operations


def test_a_step_is_its_updates(step: Step) -> None:
    expected = 3 * step.discriminator_update.of(4).flops + step.generator_update.of(4).flops
    assert step.work.of(4).flops == pytest.approx(expected)
    traffic = 3 * step.discriminator_update.fixed.traffic_bytes + step.generator_update.fixed.traffic_bytes
    assert step.work.fixed.traffic_bytes == pytest.approx(traffic + step.averaging.fixed.traffic_bytes)


def test_the_average_costs_the_same_for_any_batch(state: TrainState, step: Step) -> None:
    assert step.averaging.per_image.traffic_bytes == 0
    # Read and written: at least the weights, their averages, and the averages again.
    assert step.averaging.fixed.traffic_bytes > 3 * 4 * network_sizes(state).generator


def test_accumulation_pays_for_sigma_in_every_part() -> None:
    """Each part reads the kernels for sigma; the gradients that parts add up are those of plain layers too."""

    def traffic_of_a_second_part(has_sigma: bool) -> float:
        options = {**PLAIN, "discriminator_spectral_norm": has_sigma}
        whole, parts = (measured(tiny_config(**options, gradient_accumulation_steps=count)) for count in (1, 2))
        assert parts.work.per_image.flops == pytest.approx(whole.work.per_image.flops)
        return parts.work.fixed.traffic_bytes - whole.work.fixed.traffic_bytes

    kernels = create_state(tiny_config(**PLAIN)).discriminator.trainable_variables
    kernel_bytes = 4 * sum(one.value.shape.num_elements() for one in kernels if len(one.shape) > 1)
    # In both updates.
    assert traffic_of_a_second_part(True) - traffic_of_a_second_part(False) > 2 * kernel_bytes


def test_attention_in_blocks_counts_whole() -> None:
    found = measured(
        tiny_config(
            resolution=64,
            base_channels=1,
            attention_form="paper",
            generator_attention_resolutions=(64,),
            discriminator_attention_resolutions=(),
            generator_spectral_norm=False,
            discriminator_spectral_norm=False,
        )
    )
    locations, query_channels, value_channels = 64**2, 1, 1
    # The products of `compute_attention_gradients` beside the two of the outputs; two have eight columns appended.
    columns = (query_channels + value_channels) + 4 * query_channels + 2 * value_channels + 2 * 8
    expected = 2 * locations**2 * columns
    assert expected < found.generator_update.per_image.flops < 1.1 * expected


def test_layers_are_counted_in_their_forms_for_a_gpu(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """On any machine: a CPU, which is assumed here, would take more operations for sigma."""
    with assume_device("CPU"):
        assert measured(CONFIG) == step
    monkeypatch.setattr("tools.scaling_model.step.assume_device", lambda kind: assume_device("CPU"))
    of_cpu = measured(CONFIG)
    operations = [one.work.of(4).operations for one in (step, of_cpu)]
    assert operations[0] < 0.8 * operations[1]
