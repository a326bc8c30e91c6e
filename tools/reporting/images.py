"""Images of the report: sample grids during training and attention maps of the EMA generator."""

from __future__ import annotations

import base64
import pathlib
from typing import NamedTuple

from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError
from sagan_tf.runs.run_directory import RunDirectory

_MAX_GRIDS = 6


class AttentionSheet(NamedTuple):
    """Attention maps of a generator, or the reason why they are missing.

    Attributes:
        url: The sheet as a data URL; empty if the generator has no attention layers.
        reason: The reason why there is no sheet; empty if there is one.
    """

    url: str = ""
    reason: str = ""


def read_sample_grids(directory: pathlib.Path) -> dict[int, str]:
    """Read a few of the sample grids in a directory, from the first to the last.

    Args:
        directory: The directory with files `step_00000200.png`.

    Returns:
        Data URLs of the images, by step.
    """
    paths = {int(path.stem[5:]): path for path in directory.glob("step_*.png") if path.stem[5:].isdecimal()}
    steps = sorted(paths)
    if len(steps) > _MAX_GRIDS:
        steps = [steps[round(index * (len(steps) - 1) / (_MAX_GRIDS - 1))] for index in range(_MAX_GRIDS)]
    return {step: "data:image/png;base64," + base64.b64encode(paths[step].read_bytes()).decode() for step in steps}


def draw_attention_sheet(directory: RunDirectory) -> AttentionSheet | None:
    """Draw the sheet of `sagan_tf.sample --mode=attention`; None if the run has no checkpoint."""
    if not list(directory.checkpoints.glob("step-*.index")):
        return None
    load_tensorflow()
    import numpy as np

    from sagan_tf.generation.generators import load_generator_from_run
    from sagan_tf.sampling.attention import make_attention_sheet
    from sagan_tf.sampling.options import SampleOptions
    from sagan_tf.visualization.attention_page import encode_png_data_url

    options = SampleOptions(run_dir=str(directory.path), mode="attention", output="attention.png")
    try:
        generator = load_generator_from_run(str(directory.path))
        sheet = np.asarray(make_attention_sheet(generator, options))
    except UserError as error:  # A report is useful without attention maps, too.
        return AttentionSheet(reason=str(error))
    return AttentionSheet(url=encode_png_data_url(sheet))
