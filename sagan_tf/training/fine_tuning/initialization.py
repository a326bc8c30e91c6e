"""Start of a run with the weights of a trained run or an export."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, TrainingConfig
from sagan_tf.distribution.worker_agreement import run_on_all_workers
from sagan_tf.errors import UserError
from sagan_tf.keras_backend import keras
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.training.fine_tuning.class_mapping import ClassMapping, map_classes
from sagan_tf.training.fine_tuning.frozen_blocks import list_frozen_variables
from sagan_tf.training.fine_tuning.origin import WeightOrigin
from sagan_tf.training.fine_tuning.source_export import is_export, open_source_export
from sagan_tf.training.fine_tuning.source_run import open_source_run
from sagan_tf.training.fine_tuning.weight_source import CHECKPOINT, WeightSource
from sagan_tf.training.fine_tuning.weight_transfer import Transfer, find_class_axes, transfer_variables
from sagan_tf.training.state import TrainState
from sagan_tf.training.worker_consistency import check_equal_weights, copy_weights_from_chief

_logger = logging.getLogger("sagan_tf")
_NETWORKS: tuple[tuple[Callable[[ModelConfig], keras.Model], tuple[str, ...]], ...] = (
    (build_generator, ("generator", "generator_ema")),
    (build_discriminator, ("discriminator",)),
)
"""The functions that build networks, and the names of these networks in `TrainState`."""


def initialize_state(
    config: Config, class_names: Sequence[str], state: TrainState, strategy: tf.distribute.Strategy
) -> WeightOrigin | None:
    """Assign the weights of `--init_from` to the networks of a new run.

    The EMA generator starts with the EMA generator of the source, and the generator with the generator; both start with
    the generator of an export. Without a discriminator in the source, it keeps its values. Optimizers and counters are
    not changed. Every worker reads the source; all workers must call this function.

    Args:
        config: The run, with its number of classes.
        class_names: The names of the classes of the data.
        state: The state of the run at step 0.
        strategy: The strategy in whose scope the state was created.

    Returns:
        The origin of the weights; None without `--init_from`.

    Raises:
        UserError: The source cannot be read, its weights do not fit, or the workers have read different weights.
    """
    if not config.initialization.init_from:
        return None
    origin = run_on_all_workers(strategy, lambda: _assign_weights(config, class_names, state, strategy))
    if any(origin.computed.values()):  # workers may round differently where they compute what the source does not have
        copy_weights_from_chief(strategy, state)
    check_equal_weights(strategy, state, origin.step)
    _warn_about_new_kernels(origin)
    for name in origin.absent:
        _logger.warning(
            "the %s starts with new values, because none of the same run and step was exported with %s",
            name,
            origin.init_from,
        )
    if origin.kind == CHECKPOINT:  # the generators of an export are equal
        _warn_if_average_is_lost(config.training)
    return origin


def _assign_weights(
    config: Config, class_names: Sequence[str], state: TrainState, strategy: tf.distribute.Strategy
) -> WeightOrigin:
    """Read the source and assign its weights, without its arrays in the result."""
    options = config.initialization
    source = (open_source_export if is_export(options.init_from) else open_source_run)(options.init_from)
    names = tuple(class_names) if count_used_classes(config.model) else ()
    mapping = map_classes(names, source.class_names, source.num_classes, options.class_map)
    with strategy.scope():
        transfers = _transfer_networks(config, source, state, mapping)
    frozen = tuple(list_frozen_variables(state.discriminator))
    _check_kernels_fit(options.init_from, transfers.values())
    absent = tuple(name for name in transfers if name not in source.networks)
    _check_frozen_fit(options.init_from, transfers["discriminator"], frozen, is_absent="discriminator" in absent)
    return WeightOrigin(
        init_from=options.init_from,
        kind=source.kind,
        path=source.path,
        step=source.step,
        num_source_classes=source.num_classes,
        source_names=source.class_names,
        class_names=names,
        mapping=mapping,
        transfers=transfers,
        absent=absent,
        computed=source.computed,
        frozen=frozen,
    )


def _transfer_networks(
    config: Config, source: WeightSource, state: TrainState, mapping: ClassMapping
) -> dict[str, Transfer]:
    transfers = {}
    for build, names in _NETWORKS:
        source_axes, axes = find_class_axes(build, source.model), find_class_axes(build, config.model)
        for name in names:
            network = getattr(state, name)
            transfers[name] = transfer_variables(source.networks.get(name, {}), network, source_axes, axes, mapping)
    return transfers


def _warn_about_new_kernels(origin: WeightOrigin) -> None:
    """Warn if kernels of the run have no counterpart in the source."""
    new = [f"{name} {path}" for name, transfer in origin.present.items() for path in transfer.new_kernels]
    if new:
        more = f" and {len(new) - 1} more" if len(new) > 1 else ""
        _logger.warning(
            "%d kernels start with new values, because %s has none of the same name and shape: %s%s",
            len(new),
            origin.init_from,
            new[0],
            more,
        )


def _warn_if_average_is_lost(training: TrainingConfig) -> None:
    """Warn if the first step replaces the EMA generator of the source by the generator."""
    starts_late = training.ema_decay and training.ema_start_step > 1
    if training.ema_ramp_up if training.ema_half_life_images else starts_late:
        option = "ema_ramp_up" if training.ema_half_life_images else "ema_start_step"
        _logger.warning(
            "the first step replaces the EMA generator of --init_from by the generator; --%s=0 keeps it", option
        )


def _check_kernels_fit(init_from: str, transfers: Collection[Transfer]) -> None:
    if not any(transfer.num_kernels for transfer in transfers):
        raise UserError(
            f"init_from: no kernel of {init_from} has the name and shape of one of this run; use the source's "
            "--architecture, --resolution, --base_channels and other flags of the networks"
        )


def _check_frozen_fit(init_from: str, discriminator: Transfer, frozen: Sequence[str], *, is_absent: bool) -> None:
    if frozen and is_absent:
        raise UserError(
            "freeze_discriminator: expected a source with a discriminator of the same run and step, received "
            f"{init_from}, an export without one; leave --freeze_discriminator out, or pass the run directory or a "
            "checkpoint"
        )
    missing = [name for name in frozen if name in discriminator.initialized]
    if missing:
        raise UserError(
            f"freeze_discriminator: expected blocks whose weights come from --init_from={init_from}, which has no "
            f"{missing[0]} of the same shape; lower --freeze_discriminator"
        )
