"""Tests of the configuration: invalid values are rejected with the option's name and value."""

import dataclasses
import typing
from typing import Any

import pytest

from sagan_tf.config import (
    OPTION_GROUPS,
    Config,
    DataConfig,
    ModelConfig,
    TrainingConfig,
    get_option_fields,
    get_option_values,
)
from sagan_tf.errors import UserError

FIELDS = get_option_fields()
ABOVE_ZERO = """
resolution image_channels base_channels latent_dim spectral_norm_power_iterations spectral_norm_epsilon
batch_norm_epsilon shuffle_buffer_size global_batch_size num_steps discriminator_steps_per_step
gradient_accumulation_steps generator_learning_rate discriminator_learning_rate adam_epsilon logical_cpus
steps_per_loop log_every sample_every checkpoint_every keep_checkpoints max_rollbacks ada_speed_images latent_noise
num_samples evaluation_batch_size collapse_patience
"""
AT_LEAST_ZERO = """
num_classes discriminator_base_channels discriminator_minibatch_statistics ema_start_step seed health_every
histogram_every ema_half_life_images ema_ramp_up learning_rate_decay_start learning_rate_decay_steps
learning_rate_warmup_steps evaluate_every r1_weight r2_weight gradient_penalty_anneal_steps lecam_weight
lecam_start_step class_margin_weight orthogonal_regularization consistency_weight fake_consistency_weight
latent_consistency_weight latent_diversity_weight generator_top_k_decay_steps max_images_per_class
freeze_discriminator
"""
FRACTIONS_BELOW_ONE = "batch_norm_momentum adam_beta1 adam_beta2 ema_decay ada_target lecam_decay"
FRACTIONS_ABOVE_ZERO = "gradient_penalty_final_fraction generator_top_k data_fraction"
LIMITS: dict[str, Any] = {
    name: (invalid, valid)
    for names, invalid, valid in (
        (ABOVE_ZERO, (0, -1), 1),
        (AT_LEAST_ZERO, (-1,), 0),
        (FRACTIONS_BELOW_ONE, (-0.1, 1.0), 0.0),
        (FRACTIONS_ABOVE_ZERO, (0.0, 1.1), 1.0),
    )
    for name in names.split()
}
"""The invalid values of every option that is a number, and a valid value at its limit."""


def create_group(**options: Any) -> Any:
    """Create the group of options to which an option belongs."""
    return OPTION_GROUPS[FIELDS[next(iter(options))][0]](**options)


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_numbers(name):
    invalid, valid = LIMITS[name]
    for value in invalid:
        with pytest.raises(UserError, match=f"^{name}: .*{value}$"):
            create_group(**{name: value})
    assert getattr(create_group(**{name: valid}), name) == valid


def test_integers_of_more_than_32_bits():
    for name in ("seed", "ema_start_step", "base_channels"):
        with pytest.raises(UserError, match=f"^{name}: .*2147483648$"):
            create_group(**{name: 2**31})
    assert TrainingConfig(seed=2**31 - 1).seed == 2**31 - 1


def test_values_other_than_the_choices_are_rejected():
    for name in (name for name, (_, field) in FIELDS.items() if field.metadata["choices"]):
        with pytest.raises(UserError, match=f"^{name}: .*'other'$"):
            create_group(**{name: "other"})


def test_every_number_is_checked():
    hints = {name: hint for group in OPTION_GROUPS.values() for name, hint in typing.get_type_hints(group).items()}
    assert {name for name, hint in hints.items() if hint in (int, float, int | None)} == LIMITS.keys()


@pytest.mark.parametrize("steps", [(1,), (1, 2, 3), (2, 2), (3, 2), (-1, 2)])
def test_invalid_profile_steps(steps):
    received = ",".join(map(str, steps))
    with pytest.raises(UserError, match=f"^profile_steps: .* {received}$"):
        TrainingConfig(profile_steps=steps)


def test_empty_run_dir():
    with pytest.raises(UserError, match="^run_dir: "):
        TrainingConfig(run_dir="")


def test_attention_of_one_network_overrides_attention_of_both():
    both = ModelConfig(attention_resolutions=(32,))
    assert (both.generator_attention, both.discriminator_attention) == ((32,), (32,))
    generator = ModelConfig(attention_resolutions=(32,), generator_attention_resolutions=())
    assert (generator.generator_attention, generator.discriminator_attention) == ((), (32,))
    discriminator = ModelConfig(attention_resolutions=(32,), discriminator_attention_resolutions=(8, 16))
    assert (discriminator.generator_attention, discriminator.discriminator_attention) == ((32,), (8, 16))


def test_option_values_of_a_config():
    config = Config(ModelConfig(resolution=64), DataConfig(dataset="cifar10"), TrainingConfig(seed=7))
    changed = {
        name: value for name, value in get_option_values(config).items() if value != get_option_values(Config())[name]
    }
    assert changed == {"resolution": 64, "dataset": "cifar10", "seed": 7}


def test_every_option_has_a_help_text_and_a_valid_default():
    assert len(FIELDS) == sum(
        len(dataclasses.fields(group)) for group in OPTION_GROUPS.values()
    )  # no name occurs twice
    for name, (_, field) in FIELDS.items():
        assert field.metadata["help"].endswith("."), name
        assert not field.metadata["choices"] or field.default in field.metadata["choices"], name
