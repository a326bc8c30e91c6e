"""Flags of tools/prepare_imagenet.py that have an effect only together with others."""

from __future__ import annotations

from sagan_tf.effects.common import PACKAGED
from sagan_tf.effects.effect import Effect
from sagan_tf.effects.train import TRAIN

PREPARE_IMAGENET = (
    Effect(("quality",), "--format=jpeg", lambda flags: flags.format == "jpeg"),
    Effect(("data_dir",), f"a --dataset other than {PACKAGED}", lambda flags: flags.dataset != PACKAGED),
    *(effect for effect in TRAIN if effect.flags == ("shuffle_buffer_size",)),
)
