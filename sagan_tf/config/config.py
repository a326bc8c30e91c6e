"""Configuration of a whole run."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from sagan_tf.config.data import DataConfig
from sagan_tf.config.evaluation import EvaluationConfig
from sagan_tf.config.flag_text import build_options, check_values, format_options, read_options
from sagan_tf.config.initialization import InitializationConfig
from sagan_tf.config.model import ModelConfig
from sagan_tf.config.regularization import RegularizationConfig
from sagan_tf.config.training import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of a whole run.

    Attributes:
        model: Options of the generator and the discriminator.
        data: Options of the training images.
        training: Options of losses, optimizers, schedule and output.
        regularization: Options of the terms that are added to the losses.
        evaluation: Options of the metrics.
        initialization: Options of the weights that the run starts with.

    Examples:
        >>> config = Config.from_flagfile("configs/quickstart.cfg", num_steps=100, run_dir="runs/short")
        >>> config.training.num_steps
        100
        >>> "--run_dir=runs/short" in config.to_flagfile().splitlines()
        True
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    regularization: RegularizationConfig = dataclasses.field(default_factory=RegularizationConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    initialization: InitializationConfig = dataclasses.field(default_factory=InitializationConfig)

    @classmethod
    def from_flagfile(cls, path: str | os.PathLike[str], **overrides: Any) -> Config:
        """Read a flagfile, such as those in `configs/` or the `flags.cfg` of a run.

        Args:
            path: The flagfile.
            **overrides: Values of options by name, in place of those in the flagfile.

        Raises:
            UserError: The flagfile cannot be read, or an option is unknown or has an invalid value.
        """
        return read_options(cls, path, overrides)

    @classmethod
    def from_options(cls, **options: Any) -> Config:
        """Create a configuration from values of options by name.

        Args:
            **options: Values; an option that is not given has its default value.

        Raises:
            UserError: An option is unknown or has an invalid value.

        Examples:
            >>> Config.from_options(dataset="folder", data_dir="my_images", resolution=64).model.resolution
            64
        """
        return build_options(cls, check_values(cls, options))

    def to_flagfile(self) -> str:
        """Return the text of a flagfile with every option, from which `from_flagfile` reads an equal configuration."""
        return format_options(self)


OPTION_GROUPS: dict[str, Any] = {field.name: field.default_factory for field in dataclasses.fields(Config)}
"""The dataclass of each group of options, by the name of the field of `Config`."""


def get_option_fields() -> dict[str, tuple[str, dataclasses.Field[Any]]]:
    """Return the name of the group and the field of every option, by option name."""
    return {field.name: (name, field) for name, group in OPTION_GROUPS.items() for field in dataclasses.fields(group)}


def get_option_values(config: Config) -> dict[str, Any]:
    """Return the value of every option in a configuration, by option name."""
    return {name: getattr(getattr(config, group), name) for name, (group, _) in get_option_fields().items()}
