"""Options of a run: frozen dataclasses that declare every hyperparameter once.

A field has a default, a help text and, for a published value, its source. The commands make their flags from the fields
(`sagan_tf.cli.flags`) and pass the dataclasses on. The defaults are the schedule with the best published SAGAN result
on ImageNet-128 (IS 69.54, FID 12.83; mmgeneration, "BigGAN schedule").
"""

from sagan_tf.config.config import OPTION_GROUPS, Config, get_option_fields, get_option_values
from sagan_tf.config.data import DataConfig
from sagan_tf.config.evaluation import EvaluationConfig
from sagan_tf.config.initialization import InitializationConfig
from sagan_tf.config.model import ModelConfig, Resolutions
from sagan_tf.config.regularization import RegularizationConfig
from sagan_tf.config.training import TrainingConfig

__all__ = [
    "OPTION_GROUPS",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "InitializationConfig",
    "ModelConfig",
    "RegularizationConfig",
    "Resolutions",
    "TrainingConfig",
    "get_option_fields",
    "get_option_values",
]
