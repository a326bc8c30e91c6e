"""Images of a study: samples of all settings side by side, and the attention maps of those that have attention."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sagan_tf.distribution.devices import use_no_gpu
from sagan_tf.errors import UserError
from sagan_tf.generation.attention_maps import AttentionReader
from sagan_tf.generation.generators import Generator, load_generator_from_run
from sagan_tf.generation.latents import select_evenly_spaced_classes
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.run_directory import open_run
from sagan_tf.sampling.attention import NonFiniteWeightsError, make_attention_sheet
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.visualization.image_grid import draw_image_sheet, save_png
from tools.ablations.outcomes import Outcome, group_by_setting
from tools.comparisons.records import FINISHED, UNHEALTHY

SAMPLES = "samples.png"
_MAX_COLUMNS = 10
_ROWS = 2
_NUM_ATTENTION_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class StudyImages:
    """The images of a study.

    Attributes:
        names: Names of the files.
        notes: A line for each setting: the seed of the run that is shown, or why there are no images.
    """

    names: list[str]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class _Samples:
    setting: str
    images: np.ndarray
    class_names: list[str]


def write_images(outcomes: Sequence[Outcome], directory: Path) -> StudyImages:
    """Write the images of a study, from the last checkpoint of one run of each setting.

    The run is that of the first seed that has ended and has a checkpoint. One generator is loaded at a time, on the
    CPU, so that a run on a GPU is not disturbed.

    Args:
        outcomes: The outcomes of all cells.
        directory: Directory of the results.
    """
    use_no_gpu()
    names: list[str] = []
    notes: list[str] = []
    samples: list[_Samples] = []
    num_classes = _count_classes(outcomes)
    for setting, cells in group_by_setting(outcomes).items():
        generator, note = _load_first_generator(cells)
        notes.append(f"{setting}: {note}")
        if generator is None:
            continue
        drawn = _make_samples(setting, generator, num_classes)
        if samples and drawn.images.shape != samples[0].images.shape:
            notes[-1] += "; no samples, as the images have another shape"
        else:
            samples.append(drawn)
        try:
            names += _draw_attention(setting, generator, directory)
        except NonFiniteWeightsError:
            notes[-1] += "; no attention maps, as the weights are not finite"
    if samples:
        _draw_samples(samples, directory / SAMPLES)
        names.insert(0, SAMPLES)
    return StudyImages(names, notes)


def _count_classes(outcomes: Sequence[Outcome]) -> int:
    """Return the largest number of classes that a run uses; 0 if all ignore the classes."""
    runs = [outcome.cell.run_dir for outcome in outcomes if outcome.status in (FINISHED, UNHEALTHY)]
    return max((count_used_classes(open_run(run)[1].model) for run in runs if (run / "flags.cfg").is_file()), default=0)


def _load_first_generator(cells: Sequence[Outcome]) -> tuple[Generator | None, str]:
    """Return the generator of the first seed that has one, and its seed; or None and the reason."""
    ended = [outcome for outcome in cells if outcome.status in (FINISHED, UNHEALTHY)]
    for outcome in ended:
        try:
            return load_generator_from_run(str(outcome.cell.run_dir)), f"seed {outcome.cell.seed}"
        except UserError as error:
            # A run that ended before its first checkpoint has none; the next seed may have one. The message may have
            # paths, which a page that is published should not have.
            print(f"{outcome.cell.name}: no images: {error}", file=sys.stderr, flush=True)
    reason = "no checkpoint of a run that has ended can be read" if ended else "no run has ended"
    return None, f"left out: {reason}"


def _make_samples(setting: str, generator: Generator, num_classes: int) -> _Samples:
    """Make rows of images from the same seeds and classes for all settings; a setting may ignore the classes."""
    classes = select_evenly_spaced_classes(num_classes, _MAX_COLUMNS) if num_classes else [0] * _MAX_COLUMNS
    seeds, labels = np.arange(_ROWS * len(classes)), np.tile(np.array(classes, np.int32), _ROWS)
    images = generator.images_from_seeds(seeds, labels if generator.num_classes else 0 * labels)
    return _Samples(setting, images, [generator.get_class_name(c) for c in classes] if generator.num_classes else [])


def _draw_samples(samples: Sequence[_Samples], path: Path) -> None:
    columns = next((each.class_names for each in samples if each.class_names), [])
    rows = [
        name
        for each in samples
        for name in (each.setting, "" if each.class_names == columns else "(no classes)", *[""] * (_ROWS - 2))
    ]
    images = np.concatenate([each.images for each in samples])
    sheet = draw_image_sheet(images, len(samples[0].images) // _ROWS, row_names=rows, column_names=columns)
    save_png(sheet, path, shared=True)


def _draw_attention(setting: str, generator: Generator, directory: Path) -> list[str]:
    """Draw the attention maps of a generator; return the name of the file, or nothing without attention layers.

    Raises:
        NonFiniteWeightsError: The weights are not finite.
    """
    if generator.network is None or not AttentionReader(generator.network).sizes:
        return []
    name = f"attention_{setting}.png"
    options = SampleOptions(run_dir=generator.name, mode="attention", output=name, num_samples=_NUM_ATTENTION_IMAGES)
    save_png(make_attention_sheet(generator, options), directory / name, shared=True)
    return [name]
