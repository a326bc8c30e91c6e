"""Checks of an output directory before images are written, and removal of images that may be replaced."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from sagan_tf.data.images.file_names import is_ignored
from sagan_tf.errors import UserError
from sagan_tf.sampling.image_set import ImageSet, read_record


def prepare_image_directory(
    image_set: ImageSet, seeds: range, directory: pathlib.Path, record_path: pathlib.Path, *, overwrite: bool
) -> bool:
    """Check that a shard can be written, and remove images that it replaces.

    Args:
        image_set: The set of images.
        seeds: Seeds of the shard.
        directory: Output directory, which need not exist.
        record_path: Path of the shard's record.
        overwrite: Write this shard again. If the shard is the whole set, remove the images of other sets, by their
            records.

    Returns:
        Whether this shard was started before and continues: it was interrupted, or some of its images were removed.

    Raises:
        UserError: The directory has other content that may not be removed.
    """
    if not directory.exists():
        return False
    records = _list_records(directory)
    _check_no_links(directory, image_set.folders)
    is_whole_set, continues = seeds == image_set.get_shard_seeds(0, 1), False
    for path in records:
        existing, old_seeds, complete = read_record(path)
        overlap = range(max(seeds.start, old_seeds.start), min(seeds.stop, old_seeds.stop))
        if existing == image_set and not overlap:
            continue  # another shard of the same set
        if path == record_path and existing == image_set:
            continues = not overwrite and not (complete and _has_all_images(image_set, seeds, directory))
            if continues or overwrite:  # with --overwrite, each file is replaced when it is written
                continue
        if overwrite and is_whole_set:
            _remove_shard(directory, existing, old_seeds, path)
            continue
        # A shard may not remove images, because other shards that run now would remove each other's new images.
        hint = "--overwrite" if is_whole_set or path == record_path else "--overwrite without --shard"
        if existing == image_set:
            raise UserError(
                f"output: {directory} already has images of the seeds {overlap.start} to {overlap.stop - 1} of the "
                f"seeds {seeds.start} to {seeds.stop - 1}; pass {hint} to replace them"
            )
        raise UserError(
            f"output: {directory} has images of a different set ({existing.count} from seed {existing.first_seed} on "
            f"of {existing.generator}); choose another directory, or pass {hint} to replace them"
        )
    return continues


def _list_records(directory: pathlib.Path) -> list[pathlib.Path]:
    """List the records in a directory; reject files without a record."""
    if not directory.is_dir():
        raise UserError(f"output: expected a directory, received the file {directory}")
    files = [path for path in directory.iterdir() if not (path.name.startswith("seeds_") or is_ignored(path.name))]
    # List the records after the files, because another shard that starts now writes its record before any file.
    records = sorted(directory.glob("seeds_*.json"))
    if not records and files:
        raise UserError(
            f"output: {directory} has files that this command did not write; choose a new or an empty directory"
        )
    return records


def _check_no_links(directory: pathlib.Path, subdirectories: Sequence[str]) -> None:
    """Check that no subdirectory is a link.

    Through a link, images would be written and removed elsewhere.
    """
    for subdirectory in subdirectories:
        path = directory / subdirectory
        if path.is_symlink():
            raise UserError(f"output: expected a directory for images, received {path}, which is a link")


def _has_all_images(image_set: ImageSet, seeds: range, directory: pathlib.Path) -> bool:
    return all((directory / image_set.get_path(seed)).exists() for seed in seeds)


def _remove_shard(directory: pathlib.Path, image_set: ImageSet, seeds: range, record_path: pathlib.Path) -> None:
    """Remove the images and the record of a shard, and nothing else."""
    _check_no_links(directory, image_set.folders)
    for subdirectory in image_set.folders or ("",):
        for path in (directory / subdirectory).glob("*.png"):
            seed = int(path.stem) if path.stem.isdecimal() else -1
            if seed in seeds and path == directory / image_set.get_path(seed):
                path.unlink(missing_ok=True)
    record_path.unlink(missing_ok=True)
