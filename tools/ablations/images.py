"""Images of a study: samples of all settings side by side, and the attention maps of those that have attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator, load_generator_from_run
from sagan_tf.generation.latents import select_evenly_spaced_classes
from sagan_tf.sampling.attention import make_attention_sheet
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.visualization.image_grid import draw_image_sheet, save_png
from tools.ablations.outcomes import Outcome, group_by_setting
from tools.comparisons.records import FINISHED, UNHEALTHY

SAMPLES = "samples.png"
_MAX_COLUMNS = 10
_ROWS = 2
_NUM_ATTENTION_IMAGES = 3


def write_images(outcomes: Sequence[Outcome], directory: Path) -> list[str]:
    """Write the images of a study, from the last checkpoint of the first seed of each setting that has ended.

    Args:
        outcomes: The outcomes of all cells.
        directory: Directory of the results.

    Returns:
        The names of the files.
    """
    generators = dict(_load_generators(outcomes))
    if not generators:
        return []
    _draw_samples(generators, directory / SAMPLES)
    return [SAMPLES, *_draw_attention(generators, directory)]


def _load_generators(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Generator]]:
    for setting, cells in group_by_setting(outcomes).items():
        for run_dir in (str(cell.cell.run_dir) for cell in cells if cell.status in (FINISHED, UNHEALTHY)):
            try:
                yield setting, load_generator_from_run(run_dir)
                break
            except UserError:  # The run ended before its first checkpoint; the next seed may have one.
                continue


def _draw_samples(generators: Mapping[str, Generator], path: Path) -> None:
    """Draw rows of images of each setting, from the same seeds and classes."""
    shape = next(iter(generators.values())).shape
    shown = {setting: generator for setting, generator in generators.items() if generator.shape == shape}
    num_classes = max(generator.num_classes for generator in shown.values())
    classes = select_evenly_spaced_classes(num_classes, _MAX_COLUMNS) if num_classes else [0] * _MAX_COLUMNS
    seeds, labels = np.arange(_ROWS * len(classes)), np.tile(np.array(classes, np.int32), _ROWS)
    images, names = [], []
    for setting, generator in shown.items():
        images.append(generator.images_from_seeds(seeds, labels if generator.num_classes else 0 * labels))
        names += [setting, "" if generator.num_classes == num_classes else "(no classes)"]
    classed = next(generator for generator in shown.values() if generator.num_classes == num_classes)
    column_names = [classed.get_class_name(label) for label in classes] if num_classes else []
    save_png(draw_image_sheet(np.concatenate(images), len(classes), row_names=names, column_names=column_names), path)


def _draw_attention(generators: Mapping[str, Generator], directory: Path) -> Iterator[str]:
    """Draw the attention maps of each generator that has attention layers, and yield the names of the files."""
    for setting, generator in generators.items():
        name = f"attention_{setting}.png"
        options = SampleOptions(
            run_dir=generator.name, mode="attention", output=name, num_samples=_NUM_ATTENTION_IMAGES
        )
        try:
            sheet = make_attention_sheet(generator, options)
        except UserError:  # The generator has no attention layers.
            continue
        save_png(sheet, directory / name)
        yield name
