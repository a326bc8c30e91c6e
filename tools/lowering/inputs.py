"""State and images with which a lowered run starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.config.dependent_options import TRAIN, check_dependent_fields
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.pipeline import make_single_pass_dataset
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.strategy import check_batch_size
from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoints import restore_latest
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.run_summary import describe_run
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.validation import check_config, resolve_classes

MAX_IMAGE_BYTES = 2**33
"""8 GiB. The program holds all images in the memory of its device."""
_NUM_DESCRIBED_IMAGES = 16


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """Run that can be lowered.

    Attributes:
        config: Configuration, with the number of classes.
        state: State, restored from the newest checkpoint if there is one.
        images: uint8 [images, R, R, C], every readable image of the data set.
        labels: int32 [images]; 0 without labels.
        startup: Content of the run's `startup.json`.
    """

    config: Config
    state: TrainState
    images: np.ndarray
    labels: np.ndarray
    startup: dict[str, Any]


def prepare_run(config: Config) -> PreparedRun:
    """Open the data of a run and restore its state.

    The checks are those of `sagan_tf.train`.

    Raises:
        UserError: The configuration, its data or the run in its directory cannot be used.
    """
    _check_one_device(config)
    check_config(config)
    run_directory = RunDirectory(config.training.run_dir)
    parts = [getattr(config, field.name) for field in dataclasses.fields(config)]
    unchecked = run_directory.find_equal_flags(config.to_flagfile())
    facts = {"needs_real_images": config.evaluation.needs_real_images}
    check_dependent_fields(TRAIN, *parts, unchecked=unchecked, facts=facts)
    check_batch_size(config.training, 1, config.model.discriminator_minibatch_statistics)
    source = open_source(config.data, resolution=config.model.resolution, image_channels=config.model.image_channels)
    config = resolve_classes(config, source)
    run_directory.check_flags(config.to_flagfile(), Config().to_flagfile())
    run_directory.check_can_write()
    images, labels = read_images(source)
    if len(labels) < config.training.global_batch_size:
        raise UserError(
            f"global_batch_size: expected at most {len(labels)}, the number of images in {source.name}, received "
            f"{config.training.global_batch_size}"
        )
    state = create_state(config)
    if restore_latest(state, run_directory.checkpoints) is not None:
        run_directory.check_data(source.num_examples, source.class_names)
    described = scale_to_unit_range(tf.constant(images[:_NUM_DESCRIBED_IMAGES])).numpy()
    startup = describe_run(config, source, state, tf.distribute.OneDeviceStrategy("CPU:0"), described)
    return PreparedRun(config, state, images, labels, startup)


def _check_one_device(config: Config) -> None:
    training = config.training
    if training.strategy not in ("auto", "one_device"):
        raise UserError(
            f"strategy: expected one_device or auto, received {training.strategy}; a program has one replica"
        )
    if training.logical_cpus != 1:
        raise UserError(f"logical_cpus: expected 1, received {training.logical_cpus}; a program has one replica")


def read_images(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Read all images and labels of a data set.

    Returns:
        Images, uint8 [images, R, R, C], and labels, int32 [images].

    Raises:
        UserError: The images take more than `MAX_IMAGE_BYTES`, or too many of them cannot be read.
    """
    shape = source.num_examples, source.resolution, source.resolution, source.image_channels
    num_bytes = int(np.prod(shape, dtype=np.int64))
    if num_bytes > MAX_IMAGE_BYTES:
        raise UserError(
            f"resolution: the images of {source.name} take {num_bytes:,} bytes; a program can hold at most "
            f"{MAX_IMAGE_BYTES:,} in the memory of its device; lower --resolution, or train with sagan_tf.train"
        )
    images: np.ndarray = np.empty(shape, np.uint8)
    labels: np.ndarray = np.empty(shape[:1], np.int32)
    count = 0
    with source.skipped.raise_user_errors():
        for batch in make_single_pass_dataset(source, batch_size=256).as_numpy_iterator():
            end = count + len(batch["labels"])
            images[count:end], labels[count:end] = batch["images"], batch["labels"]
            count = end
    return images[:count], labels[:count]
