"""Work of a step, counted in training's own networks and graphs."""

from __future__ import annotations

import pytest

from sagan_tf.config import Config
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import tiny_config
from tools.scaling_model.step import Step, _trace_updates, count_network_sizes, measure_step

CONFIG = tiny_config(discriminator_steps_per_step=3)
# Without attention and spectral normalization of the generator, so that tracing is fast.
PLAIN = {"architecture": "dcgan", "attention_resolutions": (), "generator_spectral_norm": False}


@pytest.fixture(scope="module")
def state() -> TrainState:
    return create_state(CONFIG)


@pytest.fixture(scope="module")
def step(state: TrainState) -> Step:
    return measure_step(CONFIG, state)


def measure(config: Config) -> Step:
    return measure_step(config, create_state(config))


def test_sizes_of_the_networks(state: TrainState) -> None:
    sizes = count_network_sizes(state)
    generator, discriminator = (
        tuple(variable.value.shape.num_elements() for variable in network.trainable_variables)
        for network in (state.generator, state.discriminator)
    )
    assert sizes.generator_variables == generator
    assert (sizes.generator, sizes.discriminator) == (sum(generator), sum(discriminator))
    # Two in each of three blocks and one before the image; the channels are those of the input.
    assert sizes.normalizations == 7
    assert sizes.normalized_channels == 7 * 8


def test_work_is_linear_in_the_number_of_images(state: TrainState, step: Step) -> None:
    lines = step.discriminator_update, step.generator_update
    for line, work in zip(lines, _trace_updates(CONFIG, state, 7), strict=True):
        assert line.evaluate(7).flops == pytest.approx(work.flops, rel=1e-9)
        # Gradients are added up differently for a batch of one, which changes a few numbers.
        assert line.evaluate(7).traffic_bytes == pytest.approx(work.traffic_bytes, rel=1e-5)
        assert line.evaluate(7).operations == work.operations


def test_a_step_is_the_sum_of_its_updates(step: Step) -> None:
    expected = 3 * step.discriminator_update.evaluate(4).flops + step.generator_update.evaluate(4).flops
    assert step.work.evaluate(4).flops == pytest.approx(expected)
    traffic = 3 * step.discriminator_update.fixed.traffic_bytes + step.generator_update.fixed.traffic_bytes
    assert step.work.fixed.traffic_bytes == pytest.approx(traffic + step.averaging.fixed.traffic_bytes)


def test_averaging_does_not_depend_on_the_batch(state: TrainState, step: Step) -> None:
    assert step.averaging.per_image.traffic_bytes == 0
    # At least the weights and their averages are read, and the averages written.
    assert step.averaging.fixed.traffic_bytes > 3 * 4 * count_network_sizes(state).generator


def test_accumulation_computes_sigma_in_every_part() -> None:
    """Each part reads the kernels for sigma.

    Parts also add up gradients, as those of plain layers do.
    """

    def traffic_of_a_second_part(has_sigma: bool) -> float:
        options = {**PLAIN, "discriminator_spectral_norm": has_sigma}
        whole, parts = (measure(tiny_config(**options, gradient_accumulation_steps=count)) for count in (1, 2))
        assert parts.work.per_image.flops == pytest.approx(whole.work.per_image.flops)
        return parts.work.fixed.traffic_bytes - whole.work.fixed.traffic_bytes

    kernels = create_state(tiny_config(**PLAIN)).discriminator.trainable_variables
    kernel_bytes = 4 * sum(variable.value.shape.num_elements() for variable in kernels if len(variable.shape) > 1)
    # The kernels are read in both updates.
    assert traffic_of_a_second_part(True) - traffic_of_a_second_part(False) > 2 * kernel_bytes


def test_attention_in_blocks_is_counted_as_a_whole() -> None:
    found = measure(
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
    # The products of `compute_attention_gradients` besides the two of the outputs; two have eight more columns.
    columns = (query_channels + value_channels) + 4 * query_channels + 2 * value_channels + 2 * 8
    expected = 2 * locations**2 * columns
    assert expected < found.generator_update.per_image.flops < 1.1 * expected


def test_layers_are_counted_in_their_forms_for_a_gpu(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form for a CPU, assumed here, would take more operations for sigma."""
    with assume_device("CPU"):
        assert measure(CONFIG) == step
    monkeypatch.setattr("tools.scaling_model.step.assume_device", lambda kind: assume_device("CPU"))
    cpu_step = measure(CONFIG)
    operations = [counted.work.evaluate(4).operations for counted in (step, cpu_step)]
    assert operations[0] < 0.8 * operations[1]
