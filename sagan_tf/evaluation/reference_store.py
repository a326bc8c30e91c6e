"""Finds a reference: in the file that was asked for, among those kept, or by computing it now."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
from collections.abc import Callable

from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.reference import MOST_KEPT, Provenance, Reference, load_reference, save_reference
from sagan_tf.features.extraction import Extraction, with_progress
from sagan_tf.features.statistics import CLASS_COUNTS, FEATURES, STATISTICS, Gathered, Gatherer
from sagan_tf.files import check_can_write_file, write_result

_logger = logging.getLogger("sagan_tf")
_CACHE_VARIABLE = "XDG_CACHE_HOME"


def find_reference(text: str, source: Source | None, extraction: Extraction, directory: str) -> Reference:
    """Return the reference of some real images: from its file, or computed now and kept there.

    Args:
        text: what was asked for, for records; a path that ends in .npz is read.
        source: the images, opened; None for a file.
        extraction: runs the extractor.
        directory: where references are kept; empty: the user's cache.

    Raises:
        UserError: a file that was asked for is of another extractor.
    """
    extractor = extraction.extractor
    if source is None:
        reference = load_reference(pathlib.Path(os.path.expanduser(text)))
        if reference.provenance.extractor != extractor.identity:
            raise UserError(
                f"reference: expected features of the extractor {extractor.identity}, received {text} with features of "
                f"{reference.provenance.extractor}"
            )
        return reference
    provenance = Provenance(
        text,
        source.fingerprint(),
        source.num_examples,
        source.resolution,
        source.image_channels,
        extractor.identity,
        extractor.preprocessing,
        source.class_names,
    )
    path = reference_directory(directory) / provenance.file_name
    kept = _kept(path, provenance)
    # Workers may have stores of their own: one that had to compute it alone would wait for the others for ever.
    if extraction.all_agree(kept is not None) and kept is not None:
        _logger.info("reference: %s", path)
        return kept
    is_kept = extraction.writes and _try_to_keep(functools.partial(check_can_write_file, path, "reference_dir"))
    reference = Reference(provenance, _gather_reference(source, extraction), source.skipped.names)
    if is_kept:
        save = functools.partial(save_reference, reference)
        is_kept = _try_to_keep(functools.partial(write_result, path, "reference_dir", save))
    where = f", kept in {path}" if is_kept else ""
    _logger.info("reference: %d images of %s%s", reference.gathered.count, text, where)
    return reference


def _try_to_keep(step: Callable[[], None]) -> bool:
    """Run one step of saving a reference; log a warning and return False on failure."""
    try:
        step()
    except UserError as error:
        _logger.warning("%s. The reference is used and not kept; --reference_dir chooses another place", error)
        return False
    return True


def reference_directory(directory: str) -> pathlib.Path:
    """Where references are kept."""
    cache = os.environ.get(_CACHE_VARIABLE) or "~/.cache"
    return pathlib.Path(os.path.expanduser(directory or os.path.join(cache, "sagan_tf", "references")))


def _kept(path: pathlib.Path, provenance: Provenance) -> Reference | None:
    """Return a reference from the store; None, and with a warning if its file is damaged, where it must be computed."""
    if not os.path.exists(path):  # False also where the directory cannot be searched
        return None
    try:
        kept = load_reference(path)
    except UserError as error:
        _logger.warning("%s; computed anew", error)
        return None
    return kept if kept.provenance == provenance else None


def _gather_reference(source: Source, extraction: Extraction) -> Gathered:
    gatherer = Gatherer(None, (STATISTICS, FEATURES, CLASS_COUNTS), MOST_KEPT)
    for batch in with_progress(extraction.of_source(source), source.num_examples, "reference"):
        gatherer.add(*batch)
    if gatherer.count < 2:
        raise UserError(f"reference: expected at least 2 images, received {gatherer.count} in {source.name}")
    return gatherer.gathered()
