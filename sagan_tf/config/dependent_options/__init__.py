"""Options that have an effect only together with other options: one table for each command.

A user who sets a flag expects it to have an effect, so a flag that cannot change anything is an error. The conditions
in the tables depend on the options only and never on the machine or on files, so that a configuration that is valid on
one machine is valid on all. An option that has its default value is never an error, because the `flags.cfg` of a run,
which lists every flag, must replay the run.

A new option that depends on other options is one row in the table of its command.
"""

from sagan_tf.config.dependent_options.client import CLIENT
from sagan_tf.config.dependent_options.dependency import check_dependent_fields
from sagan_tf.config.dependent_options.evaluate import EVALUATE
from sagan_tf.config.dependent_options.export import EXPORT
from sagan_tf.config.dependent_options.prepare_imagenet import PREPARE_IMAGENET
from sagan_tf.config.dependent_options.sample import SAMPLE
from sagan_tf.config.dependent_options.train import DRY_RUN, TRAIN

__all__ = [
    "CLIENT",
    "DRY_RUN",
    "EVALUATE",
    "EXPORT",
    "PREPARE_IMAGENET",
    "SAMPLE",
    "TRAIN",
    "check_dependent_fields",
]
