"""Flags that have an effect only together with other flags: one table for each command.

Whoever sets a flag expects something of it, so a flag that cannot change anything is an error. The tables judge by the
flags alone, never by the machine or by files: a configuration that fits one machine fits all. A flag that has its
default value is never an error, so that a run's `flags.cfg`, which lists every flag, replays the run.

A new flag that needs others is one row in the table of its command.
"""

from sagan_tf.config.dependent_options.client import CLIENT
from sagan_tf.config.dependent_options.dependency import check_dependent_fields, check_dependent_options
from sagan_tf.config.dependent_options.evaluate import EVALUATE
from sagan_tf.config.dependent_options.export import EXPORT
from sagan_tf.config.dependent_options.prepare_imagenet import PREPARE_IMAGENET
from sagan_tf.config.dependent_options.sample import SAMPLE
from sagan_tf.config.dependent_options.train import TRAIN

__all__ = [
    "CLIENT",
    "EVALUATE",
    "EXPORT",
    "PREPARE_IMAGENET",
    "SAMPLE",
    "TRAIN",
    "check_dependent_fields",
    "check_dependent_options",
]
