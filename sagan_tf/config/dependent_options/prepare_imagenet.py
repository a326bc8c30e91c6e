"""Flags of tools/prepare_imagenet.py that have an effect only together with others."""

from __future__ import annotations

from sagan_tf.config.dependent_options.common import PACKAGED
from sagan_tf.config.dependent_options.dependency import Dependency
from sagan_tf.config.dependent_options.train import TRAIN

PREPARE_IMAGENET = (
    Dependency(("quality",), "--format=jpeg", lambda flags: flags.format == "jpeg"),
    Dependency(("data_dir",), f"a --dataset other than {PACKAGED}", lambda flags: flags.dataset != PACKAGED),
    *(row for row in TRAIN if row.options == ("shuffle_buffer_size",)),
)
