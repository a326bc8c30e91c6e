"""Descriptions of the configuration of a setting, for the table of the setup."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sagan_tf.config import Config, ModelConfig
from sagan_tf.config.metric_names import split_metric_name
from tools.ablations.portable import hide_paths
from tools.comparisons.summaries import format_count


def _describe_widths(model: ModelConfig) -> str:
    from sagan_tf.networks.architectures import find_stages

    stages = find_stages(model)
    widths = {
        "generator": [model.base_channels * width for width in (stages.initial, *stages.generator)],
        "discriminator": [model.discriminator_channels * width for width in stages.discriminator],
    }
    return "; ".join(f"{network} {', '.join(map(str, channels))} channels" for network, channels in widths.items())


def _describe_attention(model: ModelConfig) -> str:
    places = {"generator": model.generator_attention, "discriminator": model.discriminator_attention}
    places = {network: sizes for network, sizes in places.items() if sizes}
    if not places:
        return "none"
    texts = [f"at {', '.join(map(str, sizes))} px in the {network}" for network, sizes in places.items()]
    return f"{model.attention_block} {' and '.join(texts)}"


def _describe_attention_form(model: ModelConfig) -> str:
    has_form = model.attention_block == "self_attention" and (
        model.generator_attention or model.discriminator_attention
    )
    return model.attention_form if has_form else ""


def _describe_normalization(model: ModelConfig) -> str:
    networks = {"generator": model.generator_spectral_norm, "discriminator": model.discriminator_spectral_norm}
    return " and ".join(network for network, is_normalized in networks.items() if is_normalized) or "none"


def _describe_rates(config: Config) -> str:
    training = config.training
    rates = f"generator {training.generator_learning_rate:g}, discriminator {training.discriminator_learning_rate:g}"
    return rates if training.learning_rate_end is None else f"{rates}, 0 from step {training.learning_rate_end:,}"


def _describe_augmentation(config: Config) -> str:
    training = config.training
    adaptive = f", adaptive (target {training.ada_target:g})" if training.ada_target else ""
    return ", ".join(training.augment) + adaptive if training.augment else "none"


def _describe_weights(config: Config) -> str:
    training = config.training
    if training.ema_half_life_images:
        return f"EMA, half-life of {training.ema_half_life_images:,} images"
    if not training.ema_decay:
        return "live (no EMA)"
    return f"EMA, decay {training.ema_decay:g} from step {training.ema_start_step:,}"


def _describe_metrics(config: Config) -> str:
    from sagan_tf.evaluation.settings import resolve_settings

    return _group_by_size(resolve_settings(config.evaluation).metrics)


def _group_by_size(names: Iterable[str]) -> str:
    by_size: dict[int | None, list[str]] = {}
    for name in names:
        family, size = split_metric_name(name)
        by_size.setdefault(size, []).append(family)
    return "; ".join(
        f"{', '.join(families)} of {f'{size:,} images' if size else 'all generated images'}"
        for size, families in by_size.items()
    )


def _describe_extractor(config: Config) -> str:
    from sagan_tf.evaluation.settings import resolve_settings

    return hide_paths(resolve_settings(config.evaluation).extractor, "own extractor")


def _describe_reference(config: Config) -> str:
    reference = hide_paths(config.evaluation.reference, "own images")
    return reference or f"training images ({config.data.dataset}, {config.data.split})"


DESCRIPTIONS: dict[str, Callable[[Config], str]] = {
    "data": lambda config: f"{config.data.dataset}, {config.data.split}",
    "images": lambda config: f"{config.model.resolution} px, {format_count(config.model.image_channels, 'channel')}",
    "architecture": lambda config: config.model.architecture,
    "widths": lambda config: _describe_widths(config.model),
    "attention": lambda config: _describe_attention(config.model),
    "form of attention": lambda config: _describe_attention_form(config.model),
    "spectral normalization": lambda config: _describe_normalization(config.model),
    "conditioning": lambda config: config.model.conditioning,
    "pooling of the discriminator": lambda config: config.model.discriminator_pooling,
    "loss": lambda config: config.training.loss,
    "batch size": lambda config: str(config.training.global_batch_size),
    "discriminator updates in a step": lambda config: str(config.training.discriminator_steps_per_step),
    "learning rates": _describe_rates,
    "Adam's decays": lambda config: f"{config.training.adam_beta1:g}, {config.training.adam_beta2:g}",
    "augmentation": _describe_augmentation,
    "precision": lambda config: config.training.precision,
    "weights that are evaluated": _describe_weights,
    "metrics": _describe_metrics,
    "extractor": _describe_extractor,
    "reference": _describe_reference,
}
"""Rows of the table of the setup, with functions that describe a configuration. A setting with an empty text does not
have this part: the row is shown if all others have the same text."""
