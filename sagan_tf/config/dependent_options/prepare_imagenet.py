"""Options of tools/prepare_imagenet.py that have an effect only together with other options."""

from __future__ import annotations

from sagan_tf.config.dependent_options.common import PACKAGED_DATASET
from sagan_tf.config.dependent_options.dependency import Dependency
from sagan_tf.config.dependent_options.train import TRAIN

PREPARE_IMAGENET = (
    Dependency(("quality",), "--format=jpeg", lambda options: options.format == "jpeg"),
    Dependency(
        ("data_dir",), f"a --dataset other than {PACKAGED_DATASET}", lambda options: options.dataset != PACKAGED_DATASET
    ),
    *(row for row in TRAIN if row.options == ("shuffle_buffer_size",)),
)
