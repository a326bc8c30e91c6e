"""Images of a study: samples of all settings side by side, and the attention maps of those that have attention."""

from __future__ import annotations

import contextlib
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
from sagan_tf.runs.checkpoints import BEST_DIRECTORY
from sagan_tf.runs.load_networks import find_checkpoint
from sagan_tf.runs.run_directory import open_run
from sagan_tf.sampling.attention import NonFiniteWeightsError, make_attention_sheet
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.visualization.image_grid import draw_image_sheet, save_png
from tools.ablations.metric_text import choose_decimals
from tools.ablations.outcomes import Outcome, find_death_step, group_by_setting
from tools.ablations.study_images import StudyImages
from tools.comparisons.metric_headings import get_heading

SAMPLES = "samples.png"
_NUM_COLUMNS = 20
_MAX_CLASSES = 5
"""Classes of which samples are shown: several images of each, because a collapse makes those of one class similar."""
MAX_SEEDS = 3
"""Runs of each setting whose samples are shown."""
_NUM_ATTENTION_IMAGES = 3
_CHECKPOINTS = ("latest", BEST_DIRECTORY)
"""Checkpoints in the order in which they are tried. A run that died early may only have the best one."""


@dataclasses.dataclass(frozen=True)
class _Samples:
    row_name: str
    images: np.ndarray
    class_names: list[str]


def write_images(outcomes: Sequence[Outcome], metric: str, directory: Path) -> StudyImages:
    """Write the images of a study, from the last checkpoint of runs that have ended.

    Samples are of the first seeds of each setting, attention maps of the first of these. One generator is loaded at a
    time, on the CPU, so that a run on a GPU is not disturbed.

    Args:
        outcomes: The outcomes of all cells.
        metric: The metric that names the samples of each run.
        directory: Directory of the results.
    """
    use_no_gpu()
    result = StudyImages({}, [])
    samples: list[_Samples] = []
    num_classes = _count_classes(outcomes)
    for setting, cells in group_by_setting(outcomes).items():
        ended = [outcome for outcome in cells if outcome.has_ended][:MAX_SEEDS]
        if not ended:
            result.notes.append(f"{setting}: no run has ended")
        is_first = True
        for outcome in ended:
            generator, step = _load_generator(outcome)
            if generator is None:
                result.notes.append(f"{outcome.cell.name}: the run cannot be loaded")
                continue
            drawn = _make_samples(_describe_run(outcome, metric, step), generator, num_classes)
            if samples and drawn.images.shape != samples[0].images.shape:
                result.notes.append(f"{outcome.cell.name}: no samples, as the images have another shape")
            else:
                samples.append(drawn)
            if is_first:
                _add_attention(result, outcome, generator, directory)
            is_first = False
    if samples:
        _draw_samples(samples, directory / SAMPLES)
        result = StudyImages({SAMPLES: "", **result.names}, result.notes)
    return result


def _count_classes(outcomes: Sequence[Outcome]) -> int:
    """Return the largest number of classes that a run uses; 0 if all ignore the classes.

    A run that cannot be read is left out: `_load_generator` reports it.
    """
    counts = [0]
    for outcome in outcomes:
        if outcome.has_ended:
            with contextlib.suppress(UserError):
                counts.append(count_used_classes(open_run(outcome.cell.run_dir)[1].model))
    return max(counts)


def _load_generator(outcome: Outcome) -> tuple[Generator | None, int]:
    """Return the generator of the newest checkpoint of a run and its step; None and 0 if there is none."""
    run_dir, errors = outcome.cell.run_dir, []
    for checkpoint in _CHECKPOINTS:
        try:
            generator = load_generator_from_run(str(run_dir), checkpoint)
            prefix = find_checkpoint(run_dir / "checkpoints", checkpoint)
            return generator, int(prefix.rpartition("-")[2])
        except UserError as error:
            errors.append(str(error))
    # The messages may have paths, which a page that is published should not have.
    print(f"{outcome.cell.name}: no images: {'; '.join(dict.fromkeys(errors))}", file=sys.stderr, flush=True)
    return None, 0


def _describe_run(outcome: Outcome, metric: str, step: int) -> str:
    """Return the name of a row of samples: the run, the step if it is not the end of the run, and the metric.

    Args:
        outcome: The outcome of a run that has ended.
        metric: The metric, which is named if the run was evaluated at the step.
        step: The step of the samples.
    """
    parts = [outcome.cell.setting.name, f"seed {outcome.cell.seed}"]
    if outcome.has_died:
        parts.append(f"step {step:,} (died at step {find_death_step(outcome):,})")
    elif step != outcome.record["step"]:
        parts.append(f"step {step:,}")
    value = outcome.evaluations.get(step, {}).get(metric)
    if value is not None:
        parts.append(f"{get_heading(metric)} {value:.{choose_decimals(metric, [value])}f}")
    return ", ".join(parts)


def _make_samples(row_name: str, generator: Generator, num_classes: int) -> _Samples:
    """Make a row of images from the same seeds and classes for all runs; a setting may ignore the classes."""
    shown = select_evenly_spaced_classes(num_classes, _MAX_CLASSES) if num_classes else [0]
    classes = [index for index in shown for _ in range(_NUM_COLUMNS // len(shown))]
    seeds, labels = np.arange(len(classes)), np.array(classes, np.int32)
    images = generator.images_from_seeds(seeds, labels if generator.num_classes else 0 * labels)
    if not generator.num_classes:
        return _Samples(f"{row_name} (no classes)" if num_classes else row_name, images, [])
    return _Samples(row_name, images, [generator.get_class_name(c) for c in classes])


def _draw_samples(samples: Sequence[_Samples], path: Path) -> None:
    columns = next((each.class_names for each in samples if each.class_names), [])
    images = np.concatenate([each.images for each in samples])
    rows = [each.row_name for each in samples]
    save_png(draw_image_sheet(images, len(samples[0].images), row_names=rows, column_names=columns), path, shared=True)


def _add_attention(result: StudyImages, outcome: Outcome, generator: Generator, directory: Path) -> None:
    """Draw the attention maps of a run, and add them or the reason for their lack to the images."""
    try:
        for name in _draw_attention(outcome.cell.setting.name, generator, directory):
            result.names[name] = outcome.cell.name
    except NonFiniteWeightsError:
        result.notes.append(f"{outcome.cell.name}: no attention maps, as the weights are not finite")


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
