"""The configuration refuses what cannot be, and says what it expected."""

import dataclasses
import typing

import pytest

from sagan_tf.config import (
    PARTS,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    RegularizationConfig,
    TrainingConfig,
    option_fields,
    option_values,
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
PARTS_OF_WHOLE = [
    (RegularizationConfig, "gradient_penalty_final_fraction"),
    (RegularizationConfig, "generator_top_k"),
]
FRACTIONS = [
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
    if (RegularizationConfig, field.name) not in PARTS_OF_WHOLE + FRACTIONS + ABOVE_ZERO and field.type != "bool"
]
CHOICES = [(PARTS[part], name) for name, (part, field) in option_fields().items() if field.metadata["choices"]]


@pytest.mark.parametrize(("part", "name"), ABOVE_ZERO)
def test_above_zero(part: type, name: str) -> None:
    for value in (0, -1):
        with pytest.raises(UserError, match=f"^{name}: expected a number above 0, received {value}$"):
            part(**{name: value})
    assert getattr(part(**{name: 1}), name) == 1


@pytest.mark.parametrize(("part", "name"), AT_LEAST_ZERO)
def test_at_least_zero(part: type, name: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: expected 0 or more, received -1$"):
        part(**{name: -1})
    assert getattr(part(**{name: 0}), name) == 0


def test_numbers_that_tensorflow_cannot_take() -> None:
    for part, name in ((TrainingConfig, "seed"), (TrainingConfig, "ema_start_step"), (ModelConfig, "base_channels")):
        with pytest.raises(UserError, match=f"^{name}: expected a number below 2147483648, received 2147483648$"):
            part(**{name: 2**31})
    assert TrainingConfig(seed=2**31 - 1).seed == 2**31 - 1


@pytest.mark.parametrize(("part", "name"), FRACTIONS)
def test_fractions(part: type, name: str) -> None:
    for value in (-0.1, 1.0):
        with pytest.raises(UserError, match=f"^{name}: expected at least 0 and below 1, received {value}$"):
            part(**{name: value})
    assert getattr(part(**{name: 0.0}), name) == 0.0


@pytest.mark.parametrize(("part", "name"), PARTS_OF_WHOLE)
def test_parts_of_a_whole(part: type, name: str) -> None:
    for value in (0.0, 1.1):
        with pytest.raises(UserError, match=f"^{name}: expected above 0 and at most 1, received {value}$"):
            part(**{name: value})
    assert getattr(part(**{name: 1.0}), name) == 1.0


@pytest.mark.parametrize(("part", "name"), CHOICES)
def test_choices(part: type, name: str) -> None:
    (field,) = (field for field in dataclasses.fields(part) if field.name == name)
    expected = ", ".join(field.metadata["choices"])
    with pytest.raises(UserError) as caught:
        part(**{name: "other"})
    assert str(caught.value) == f"{name}: expected one of {expected}, received 'other'"
    for choice in field.metadata["choices"]:
        part(**{name: choice})


def test_every_number_is_checked() -> None:
    checked = {name for _, name in ABOVE_ZERO + AT_LEAST_ZERO + FRACTIONS + PARTS_OF_WHOLE}
    numbers = {
        field.name
        for part in PARTS.values()
        for field in dataclasses.fields(part)
        if typing.get_type_hints(part)[field.name] in (int, float, int | None)
    }
    assert numbers == checked


@pytest.mark.parametrize("steps", [(1,), (1, 2, 3), (2, 2), (3, 2), (-1, 2)])
def test_steps_of_a_profile(steps: tuple[int, ...]) -> None:
    received = ",".join(map(str, steps))
    with pytest.raises(UserError, match=f"^profile_steps: expected FIRST,LAST with 0 <= FIRST < LAST, .* {received}$"):
        TrainingConfig(profile_steps=steps)


def test_a_run_needs_a_folder() -> None:
    with pytest.raises(UserError, match="^run_dir: expected a folder, received an empty name$"):
        TrainingConfig(run_dir="")


def test_attention_of_one_network_overrides_that_of_both() -> None:
    both = ModelConfig(attention_resolutions=(32,))
    assert (both.generator_attention, both.discriminator_attention) == ((32,), (32,))
    generator = ModelConfig(attention_resolutions=(32,), generator_attention_resolutions=())
    assert (generator.generator_attention, generator.discriminator_attention) == ((), (32,))
    discriminator = ModelConfig(attention_resolutions=(32,), discriminator_attention_resolutions=(8, 16))
    assert (discriminator.generator_attention, discriminator.discriminator_attention) == ((32,), (8, 16))


def test_a_name_is_declared_once() -> None:
    names = [field.name for part in PARTS.values() for field in dataclasses.fields(part)]
    assert sorted(names) == sorted(set(names)) == sorted(option_fields())


def test_option_values_are_those_of_the_config() -> None:
    config = Config(ModelConfig(resolution=64), DataConfig(dataset="cifar10"), TrainingConfig(seed=7))
    changed = {name: value for name, value in option_values(config).items() if value != option_values(Config())[name]}
    assert changed == {"resolution": 64, "dataset": "cifar10", "seed": 7}


def test_every_option_is_explained_and_a_default_fits_its_choices() -> None:
    for name, (_, field) in option_fields().items():
        assert field.metadata["help"].endswith("."), name
        assert not field.metadata["choices"] or field.default in field.metadata["choices"], name


def test_what_decides_the_weights_cannot_be_changed_on_resuming() -> None:
    changeable = {name for name, (_, field) in option_fields().items() if field.metadata["changeable"]}
    every = {"steps_per_loop", "log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "max_rollbacks"}
    every |= {"health_every", "held_out", "histogram_every", "profile_steps"}
    of_evaluation = {field.name for field in dataclasses.fields(EvaluationConfig)}
    assert changeable == every | of_evaluation | {
        "on_non_finite",
        "on_unhealthy",
        "data_dir",
        "run_dir",
        "num_steps",
        # How devices compute: it changes rounding, as another machine does.
        "strategy",
        "logical_cpus",
        "collectives",
        "deterministic",
        "tf32",
    }


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.resolution = 64  # type: ignore[misc]
