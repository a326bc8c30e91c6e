"""A whole run, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.config.data import DataConfig
from sagan_tf.config.evaluation import EvaluationConfig
from sagan_tf.config.model import ModelConfig
from sagan_tf.config.regularization import RegularizationConfig
from sagan_tf.config.training import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    regularization: RegularizationConfig = dataclasses.field(default_factory=RegularizationConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)


PARTS: dict[str, Any] = {field.name: field.default_factory for field in dataclasses.fields(Config)}


def option_fields() -> dict[str, tuple[str, dataclasses.Field[Any]]]:
    """Return every hyper-parameter of `Config`: name -> (name of the part that holds it, its field)."""
    return {field.name: (name, field) for name, part in PARTS.items() for field in dataclasses.fields(part)}


def option_values(config: Config) -> dict[str, Any]:
    """Return the value of every hyper-parameter in `config`, by name."""
    return {name: getattr(getattr(config, part), name) for name, (part, _) in option_fields().items()}
