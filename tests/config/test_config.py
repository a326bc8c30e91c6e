"""Tests of the configuration: invalid values are rejected with the option's name and value."""

import dataclasses
import typing

import pytest

from sagan_tf.config import (
    OPTION_GROUPS,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    RegularizationConfig,
    TrainingConfig,
    get_option_fields,
    get_option_values,
)
from sagan_tf.errors import UserError

ABOVE_ZERO = [
    (ModelConfig, "resolution"),
    (ModelConfig, "image_channels"),
    (ModelConfig, "base_channels"),
    (ModelConfig, "latent_dim"),
    (ModelConfig, "spectral_norm_power_iterations"),
    (ModelConfig, "spectral_norm_epsilon"),
    (ModelConfig, "batch_norm_epsilon"),
    (DataConfig, "shuffle_buffer_size"),
    (TrainingConfig, "global_batch_size"),
    (TrainingConfig, "num_steps"),
    (TrainingConfig, "discriminator_steps_per_step"),
    (TrainingConfig, "gradient_accumulation_steps"),
    (TrainingConfig, "generator_learning_rate"),
    (TrainingConfig, "discriminator_learning_rate"),
    (TrainingConfig, "adam_epsilon"),
    (TrainingConfig, "logical_cpus"),
    (TrainingConfig, "steps_per_loop"),
    (TrainingConfig, "log_every"),
    (TrainingConfig, "sample_every"),
    (TrainingConfig, "checkpoint_every"),
    (TrainingConfig, "keep_checkpoints"),
    (TrainingConfig, "max_rollbacks"),
    (TrainingConfig, "ada_speed_images"),
    (RegularizationConfig, "latent_noise"),
    (EvaluationConfig, "num_samples"),
    (EvaluationConfig, "evaluation_batch_size"),
    (EvaluationConfig, "collapse_patience"),
]
AT_LEAST_ZERO = [
    (ModelConfig, "num_classes"),
    (ModelConfig, "discriminator_base_channels"),
    (ModelConfig, "discriminator_minibatch_statistics"),
    (TrainingConfig, "ema_start_step"),
    (TrainingConfig, "seed"),
    (TrainingConfig, "health_every"),
    (TrainingConfig, "histogram_every"),
    (TrainingConfig, "ema_half_life_images"),
    (TrainingConfig, "ema_ramp_up"),
    (TrainingConfig, "learning_rate_decay_start"),
    (TrainingConfig, "learning_rate_decay_steps"),
    (TrainingConfig, "learning_rate_warmup_steps"),
    (EvaluationConfig, "evaluate_every"),
]
FRACTIONS_ABOVE_ZERO = [
    (RegularizationConfig, "gradient_penalty_final_fraction"),
    (RegularizationConfig, "generator_top_k"),
]
FRACTIONS_BELOW_ONE = [
    (ModelConfig, "batch_norm_momentum"),
    (TrainingConfig, "adam_beta1"),
    (TrainingConfig, "adam_beta2"),
    (TrainingConfig, "ema_decay"),
    (TrainingConfig, "ada_target"),
    (RegularizationConfig, "lecam_decay"),
]
AT_LEAST_ZERO += [
    (RegularizationConfig, field.name)
    for field in dataclasses.fields(RegularizationConfig)
    if (RegularizationConfig, field.name) not in FRACTIONS_ABOVE_ZERO + FRACTIONS_BELOW_ONE + ABOVE_ZERO
    and field.type != "bool"
]
CHOICES = [
    (OPTION_GROUPS[part], name) for name, (part, field) in get_option_fields().items() if field.metadata["choices"]
]


@pytest.mark.parametrize(("group", "name"), ABOVE_ZERO)
def test_numbers_above_zero(group: type, name: str) -> None:
    for value in (0, -1):
        with pytest.raises(UserError, match=f"^{name}: .*{value}$"):
            group(**{name: value})
    assert getattr(group(**{name: 1}), name) == 1


@pytest.mark.parametrize(("group", "name"), AT_LEAST_ZERO)
def test_numbers_of_at_least_zero(group: type, name: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: .*-1$"):
        group(**{name: -1})
    assert getattr(group(**{name: 0}), name) == 0


def test_integers_of_more_than_32_bits() -> None:
    for group, name in ((TrainingConfig, "seed"), (TrainingConfig, "ema_start_step"), (ModelConfig, "base_channels")):
        with pytest.raises(UserError, match=f"^{name}: .*2147483648$"):
            group(**{name: 2**31})
    assert TrainingConfig(seed=2**31 - 1).seed == 2**31 - 1


@pytest.mark.parametrize(("group", "name"), FRACTIONS_BELOW_ONE)
def test_fractions_below_one(group: type, name: str) -> None:
    for value in (-0.1, 1.0):
        with pytest.raises(UserError, match=f"^{name}: .*{value}$"):
            group(**{name: value})
    assert getattr(group(**{name: 0.0}), name) == 0.0


@pytest.mark.parametrize(("group", "name"), FRACTIONS_ABOVE_ZERO)
def test_fractions_above_zero(group: type, name: str) -> None:
    for value in (0.0, 1.1):
        with pytest.raises(UserError, match=f"^{name}: .*{value}$"):
            group(**{name: value})
    assert getattr(group(**{name: 1.0}), name) == 1.0


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_choices(group: type, name: str) -> None:
    (field,) = (field for field in dataclasses.fields(group) if field.name == name)
    with pytest.raises(UserError, match=f"^{name}: .*{', '.join(field.metadata['choices'])}.*'other'$"):
        group(**{name: "other"})
    for choice in field.metadata["choices"]:
        group(**{name: choice})


def test_every_number_is_checked() -> None:
    checked = {name for _, name in ABOVE_ZERO + AT_LEAST_ZERO + FRACTIONS_BELOW_ONE + FRACTIONS_ABOVE_ZERO}
    numbers = {
        field.name
        for group in OPTION_GROUPS.values()
        for field in dataclasses.fields(group)
        if typing.get_type_hints(group)[field.name] in (int, float, int | None)
    }
    assert numbers == checked


@pytest.mark.parametrize("steps", [(1,), (1, 2, 3), (2, 2), (3, 2), (-1, 2)])
def test_invalid_profile_steps(steps: tuple[int, ...]) -> None:
    received = ",".join(map(str, steps))
    with pytest.raises(UserError, match=f"^profile_steps: .* {received}$"):
        TrainingConfig(profile_steps=steps)


def test_empty_run_dir() -> None:
    with pytest.raises(UserError, match="^run_dir: "):
        TrainingConfig(run_dir="")


def test_attention_of_one_network_overrides_attention_of_both() -> None:
    both = ModelConfig(attention_resolutions=(32,))
    assert (both.generator_attention, both.discriminator_attention) == ((32,), (32,))
    generator = ModelConfig(attention_resolutions=(32,), generator_attention_resolutions=())
    assert (generator.generator_attention, generator.discriminator_attention) == ((), (32,))
    discriminator = ModelConfig(attention_resolutions=(32,), discriminator_attention_resolutions=(8, 16))
    assert (discriminator.generator_attention, discriminator.discriminator_attention) == ((32,), (8, 16))


def test_option_names_are_unique() -> None:
    names = [field.name for group in OPTION_GROUPS.values() for field in dataclasses.fields(group)]
    assert sorted(names) == sorted(set(names)) == sorted(get_option_fields())


def test_option_values_of_a_config() -> None:
    config = Config(ModelConfig(resolution=64), DataConfig(dataset="cifar10"), TrainingConfig(seed=7))
    changed = {
        name: value for name, value in get_option_values(config).items() if value != get_option_values(Config())[name]
    }
    assert changed == {"resolution": 64, "dataset": "cifar10", "seed": 7}


def test_every_option_has_a_help_text_and_a_valid_default() -> None:
    for name, (_, field) in get_option_fields().items():
        assert field.metadata["help"].endswith("."), name
        assert not field.metadata["choices"] or field.default in field.metadata["choices"], name


def test_options_that_determine_the_weights_cannot_be_changed_on_resuming() -> None:
    changeable = {name for name, (_, field) in get_option_fields().items() if field.metadata["changeable"]}
    every = {"steps_per_loop", "log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "max_rollbacks"}
    every |= {"health_every", "held_out", "histogram_every", "profile_steps"}
    of_evaluation = {field.name for field in dataclasses.fields(EvaluationConfig)}
    assert changeable == every | of_evaluation | {
        "on_non_finite",
        "on_unhealthy",
        "data_dir",
        "run_dir",
        "num_steps",
        # These options of devices change only the rounding, as another machine does.
        "strategy",
        "logical_cpus",
        "collectives",
        "deterministic",
        "tf32",
    }


def test_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.resolution = 64  # type: ignore[misc]
