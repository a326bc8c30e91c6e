"""Store of references: a reference is read from a file, found in the store, or computed and stored."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
from collections.abc import Callable

from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.reference import MAX_FEATURES, Provenance, Reference, load_reference, save_reference
from sagan_tf.features.extraction import Extraction, show_progress
from sagan_tf.features.extractor import Extractor
from sagan_tf.features.statistics import CLASS_COUNTS, FEATURES, MOMENTS, ImageSetStatistics, StatisticsAccumulator
from sagan_tf.files import check_can_write_file, write_result

_logger = logging.getLogger("sagan_tf")
_CACHE_VARIABLE = "XDG_CACHE_HOME"


def find_reference(
    text: str, source: Source | None, extraction: Extraction, directory: str, flag: str = "reference"
) -> Reference:
    """Read, find in the store, or compute and store the reference of real images.

    Args:
        text: The option `reference`, for records; a path that ends in .npz is read.
        source: The opened images; None for a file.
        extraction: Runs the extractor.
        directory: Directory of the store; empty for the user's cache.
        flag: The flag that `text` is the value of, for messages.

    Raises:
        UserError: A file is not a reference or has the features of another extractor, or there are fewer than two
            readable images.
    """
    if source is None:
        return _read_reference(text, extraction.extractor)
    provenance = describe_images(text, source, extraction.extractor)
    path = resolve_reference_directory(directory) / provenance.file_name
    stored = _find_stored(path, provenance)
    # Workers may have different stores. Extraction is a collective operation: a worker that alone lacks the reference
    # would wait forever for the other workers.
    if extraction.is_true_on_all_workers(stored is not None) and stored is not None:
        _logger.info("%s: %s", flag, path)
        return stored
    is_stored = extraction.is_writer and _try_to_store(functools.partial(check_can_write_file, path, "reference_dir"))
    reference = Reference(provenance, _compute_statistics(source, extraction, flag), source.skipped.names)
    if is_stored:
        save = functools.partial(save_reference, reference)
        is_stored = _try_to_store(functools.partial(write_result, path, "reference_dir", save))
    suffix = f", kept in {path}" if is_stored else ""
    _logger.info("%s: %d images of %s%s", flag, reference.statistics.count, text, suffix)
    return reference


def _read_reference(text: str, extractor: Extractor) -> Reference:
    """Return the reference in a file, which must have features of the extractor."""
    reference = load_reference(pathlib.Path(os.path.expanduser(text)))
    if reference.provenance.extractor != extractor.identifier:
        raise UserError(
            f"reference: expected features of the extractor {extractor.identifier}, received {text} with features of "
            f"{reference.provenance.extractor}"
        )
    return reference


def describe_images(text: str, source: Source, extractor: Extractor) -> Provenance:
    """Return the provenance of the reference of images for an extractor."""
    return Provenance(
        text,
        source.digest(),
        source.num_examples,
        source.resolution,
        source.image_channels,
        extractor.identifier,
        extractor.preprocessing,
        source.class_names,
    )


def _try_to_store(step: Callable[[], None]) -> bool:
    """Run one step of storing a reference; log a warning and return False on failure."""
    try:
        step()
    except UserError as error:
        _logger.warning("%s. The reference is used but not kept; choose another directory with --reference_dir", error)
        return False
    return True


def resolve_reference_directory(directory: str) -> pathlib.Path:
    """Return the directory of stored references, by default one in the user's cache."""
    cache = os.environ.get(_CACHE_VARIABLE) or "~/.cache"
    return pathlib.Path(os.path.expanduser(directory or os.path.join(cache, "sagan_tf", "references")))


def _find_stored(path: pathlib.Path, provenance: Provenance) -> Reference | None:
    """Return a reference from the store, or None if it must be computed.

    A damaged file is reported by a warning.
    """
    if not os.path.exists(path):  # False also where the directory cannot be searched
        return None
    try:
        stored = load_reference(path)
    except UserError as error:
        _logger.warning("%s; the reference is computed again", error)
        return None
    return stored if stored.provenance == provenance else None


def _compute_statistics(source: Source, extraction: Extraction, flag: str) -> ImageSetStatistics:
    accumulator = StatisticsAccumulator(None, (MOMENTS, FEATURES, CLASS_COUNTS), MAX_FEATURES)
    for batch in show_progress(extraction.extract_from_source(source), source.num_examples, flag):
        accumulator.add(batch.features, batch.logits, batch.labels)
    if accumulator.count < 2:
        raise UserError(f"{flag}: expected at least 2 images, received {accumulator.count} in {source.name}")
    return accumulator.result()
