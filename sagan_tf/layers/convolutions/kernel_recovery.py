"""The kernel of a 3x3 convolution from the sums of its taps that a form uses in place of it."""

from __future__ import annotations

import numpy as np

from sagan_tf.layers.convolutions.forms import get_strided_sums, get_subpixel_sums
from sagan_tf.layers.convolutions.minimal import DOWNSAMPLING_FORMS, SAME_SIZE_FORMS, UPSAMPLING_FORMS

_MINIMAL_FORMS = {"none": SAME_SIZE_FORMS, "up": UPSAMPLING_FORMS, "down": DOWNSAMPLING_FORMS}


def recover_kernel(taps: np.ndarray, resampling: str) -> np.ndarray | None:
    """Recover the kernel from sums of its taps, except for rounding.

    Args:
        taps: Float, the sums of a form of `layers.convolutions.forms`: [4, 4, outputs, inputs] for `strided` before
            upsampling, and [sums, inputs, outputs] for every other form that has sums.
        resampling: `up`, `down` or `none`.

    Returns:
        The kernel, float32 [3, 3, inputs, outputs]; None if no form has sums of this shape.
    """
    forms = _MINIMAL_FORMS[resampling].values()
    sums = {len(form.tap_combinations): form.tap_combinations for form in forms}
    if resampling == "down":
        sums[16] = get_strided_sums("down")
    elif resampling == "up":
        sums[16] = get_subpixel_sums()
        if taps.ndim == 4 and taps.shape[:2] == (4, 4):
            sums[16] = get_strided_sums("up")
            taps = taps.reshape(16, *taps.shape[2:]).swapaxes(1, 2)
    if taps.ndim != 3 or len(taps) not in sums:
        return None
    rows = np.linalg.pinv(sums[len(taps)]) @ taps.reshape(len(taps), -1).astype(np.float64)
    return rows.reshape(3, 3, *taps.shape[1:]).astype(np.float32)
