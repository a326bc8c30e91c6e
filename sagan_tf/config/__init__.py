"""Every hyper-parameter, declared once: default, help and, where it comes from a publication, its source.

The flags are made from these fields (`sagan_tf.cli.flags`); below the doors, code receives these frozen dataclasses.
The defaults are the schedule with the best published SAGAN result on ImageNet-128 (IS 69.54, FID 12.83; mmgeneration,
"BigGAN schedule").
"""

from sagan_tf.config.config import PARTS, Config, option_fields, option_values
from sagan_tf.config.data import DataConfig
from sagan_tf.config.evaluation import EvaluationConfig
from sagan_tf.config.model import ModelConfig, Resolutions
from sagan_tf.config.regularization import RegularizationConfig
from sagan_tf.config.training import TrainingConfig

__all__ = [
    "PARTS",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "ModelConfig",
    "RegularizationConfig",
    "Resolutions",
    "TrainingConfig",
    "option_fields",
    "option_values",
]
