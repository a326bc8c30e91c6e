"""Any number of pictures, one PNG each, streamed to a folder: sharded by seed, restartable, never mixed up.

A folder holds pictures of one set: one generator, one range of seeds. Every part of the set (shard) leaves a record
`seeds_<first>_<last>.json` beside them, by which the others, and the next call, know what is there.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.file_names import is_ignored
from sagan_tf.errors import UserError
from sagan_tf.files import write_atomically
from sagan_tf.progress import progress_bar
from sagan_tf.text import canonical_name, read_text

_logger = logging.getLogger("sagan_tf")
_THREADS = 3
_LONGEST_FOLDER_NAME = 100
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(1, 10))}
"""Names that Windows keeps for itself."""


@dataclasses.dataclass(frozen=True)
class PictureSet:
    """Which pictures a folder is for.

    Attributes:
        generator: who makes them, for people.
        first_seed: of the first one.
        count: how many, in all shards.
        labels: classes, which take turns: that of a seed is labels[seed % len(labels)].
        folders: of every label: the subfolder of its pictures; empty if they lie in the folder itself.
        truncation: None for none.
        weights: a digest of the generator's, statistics of batch normalisation included.
    """

    generator: str = dataclasses.field(compare=False)
    first_seed: int
    count: int
    labels: tuple[int, ...]
    folders: tuple[str, ...]
    truncation: float | None
    weights: str = ""

    def part(self, index: int, parts: int) -> range:
        """Return the seeds of a shard."""
        cut = [self.first_seed + self.count * place // parts for place in (index, index + 1)]
        return range(cut[0], cut[1])

    def label(self, seed: int) -> int:
        """Return the class of a picture."""
        return self.labels[seed % len(self.labels)]

    def path(self, seed: int) -> str:
        """Where a picture lies in the folder."""
        return f"{self.folders[self.label(seed)]}/{seed:08d}.png" if self.folders else f"{seed:08d}.png"

    def record(self, seeds: range, complete: bool) -> dict[str, Any]:
        """Return what a shard says of itself."""
        about = dataclasses.asdict(self) | {"labels": list(self.labels), "folders": list(self.folders)}
        return about | {"seeds": [seeds.start, seeds.stop], "complete": complete}


def class_folders(num_classes: int, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return a subfolder for every class: its name, or for all classes their numbers where a name cannot be a folder's.

    `sagan_tf.evaluate --images` reads the classes back from either.
    """
    if (
        num_classes
        and len({canonical_name(name).casefold() for name in class_names}) == num_classes
        and all(map(_is_safe, class_names))
    ):
        return tuple(class_names)
    digits = len(str(max(num_classes - 1, 0)))
    return tuple(f"{label:0{digits}d}" for label in range(num_classes))


def write_pictures(
    pictures: PictureSet,
    draw: Callable[[np.ndarray, np.ndarray], tf.Tensor],
    folder: pathlib.Path,
    *,
    part: int,
    parts: int,
    batch_size: int,
    overwrite: bool,
) -> int:
    """Write a shard's pictures; one that was cut off goes on where it stopped.

    Args:
        pictures: the set.
        draw: seeds int64 [n] and labels int32 [n] to PNG files, string [n].
        folder: where; made if it isn't there.
        part, parts: which shard of how many, from 0.
        batch_size: pictures made at once.
        overwrite: make this shard anew; without shards, remove what other sets have left in the folder.

    Returns:
        The number of pictures written now.

    Raises:
        UserError: the folder holds something else, or pictures of these seeds from another set.
    """
    seeds = pictures.part(part, parts)
    record = folder / f"seeds_{seeds.start}_{seeds.stop - 1}.json"
    try:
        goes_on = _make_room(pictures, seeds, folder, record, overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(record, json.dumps(pictures.record(seeds, complete=False), indent=2) + "\n")
        for subfolder in pictures.folders:
            (folder / subfolder).mkdir(exist_ok=True)
        missing: Sequence[int] = seeds
        if goes_on:
            missing = [seed for seed in seeds if not (folder / pictures.path(seed)).exists()]
            _logger.info("%d of %d pictures are there already", len(seeds) - len(missing), len(seeds))
        _write_all(pictures, draw, folder, missing, batch_size)
        write_atomically(record, json.dumps(pictures.record(seeds, complete=True), indent=2) + "\n")
    except OSError as error:
        raise UserError(f"output: expected to write into {folder}, received {error.strerror or error}") from error
    return len(missing)


def _write_all(
    pictures: PictureSet,
    draw: Callable[[np.ndarray, np.ndarray], tf.Tensor],
    folder: pathlib.Path,
    seeds: Sequence[int],
    batch_size: int,
) -> None:
    """Batches are made by a few threads: while one's files are written, the others keep the processor busy."""

    def make(start: int) -> int:
        of_batch = np.array(seeds[start : start + batch_size], np.int64)
        labels = np.array([pictures.label(int(seed)) for seed in of_batch], np.int32)
        paths = [os.path.join(folder, pictures.path(int(seed))) for seed in of_batch]
        _write_files(paths, draw(of_batch, labels).numpy())
        return len(of_batch)

    with (
        concurrent.futures.ThreadPoolExecutor(_THREADS) as threads,
        progress_bar(len(seeds), unit="image", description="pictures") as bar,
    ):
        pending = [threads.submit(make, start) for start in range(0, len(seeds), batch_size)]
        try:
            for one in pending:
                bar.update(one.result())
        finally:  # what went wrong with one will go wrong with all
            threads.shutdown(wait=True, cancel_futures=True)


def _write_files(paths: Sequence[str], files: Sequence[bytes]) -> None:
    # Not with pathlib, which takes longer than writing: a small generator makes a thousand pictures a second.
    for path, file in zip(paths, files, strict=True):
        # A link there is not followed: it may lead out of the folder.
        beside = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
        try:
            if os.write(beside, file) < len(file):
                raise OSError("no space left")
        finally:
            os.close(beside)
        os.replace(f"{path}.part", path)


def _make_room(pictures: PictureSet, seeds: range, folder: pathlib.Path, record: pathlib.Path, overwrite: bool) -> bool:
    """Raise UserError for what is in the way, or, if it may be overwritten, removes it: pictures by their records.

    Returns:
        Whether this very shard was begun before, and goes on: cut off, or some of its pictures were removed since.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(f"output: expected a folder, received the file {folder}")
    others = [path for path in folder.iterdir() if not (path.name.startswith("seeds_") or is_ignored(path.name))]
    # Listed after the rest: another shard that has just begun writes its record before anything else.
    records = sorted(folder.glob("seeds_*.json"))
    if not records and others:
        raise UserError(f"output: expected an empty folder, or one with pictures of this tool, received {folder}")
    _check_no_links(folder, pictures.folders)
    whole, goes_on = seeds == pictures.part(0, 1), False
    for path in records:
        there, old_seeds, complete = _read_record(path)
        overlap = range(max(seeds.start, old_seeds.start), min(seeds.stop, old_seeds.stop))
        if there == pictures and not overlap:
            continue  # another shard
        if path == record and there == pictures:
            goes_on = not overwrite and not (complete and _all_there(pictures, seeds, folder))
            if goes_on or overwrite:  # or made anew, file by file
                continue
        if overwrite and whole:
            _remove(folder, there, old_seeds, path)
            continue
        # Not while other shards may be at work: they would remove each other's new pictures.
        hint = "--overwrite replaces them" if whole or path == record else "--overwrite without --shard replaces them"
        if there == pictures:
            raise UserError(
                f"output: expected seeds that are not in {folder} yet, received {seeds.start} to {seeds.stop - 1}, of "
                f"which {overlap.start} to {overlap.stop - 1} are there; {hint}"
            )
        raise UserError(
            f"output: expected a folder for these pictures, received {folder}, which holds others "
            f"({there.count} from seed {there.first_seed} on of {there.generator}); {hint}"
        )
    return goes_on


def _check_no_links(folder: pathlib.Path, subfolders: Sequence[str]) -> None:
    """Raise UserError for subfolders that lie elsewhere: pictures would be written, and removed, there."""
    for subfolder in subfolders:
        if (folder / subfolder).is_symlink():
            raise UserError(f"output: expected a folder of this tool, received {folder / subfolder}, which is a link")


def _all_there(pictures: PictureSet, seeds: range, folder: pathlib.Path) -> bool:
    return all((folder / pictures.path(seed)).exists() for seed in seeds)


def _remove(folder: pathlib.Path, pictures: PictureSet, seeds: range, record: pathlib.Path) -> None:
    """Remove a shard's pictures and its record, and nothing else."""
    _check_no_links(folder, pictures.folders)
    for subfolder in pictures.folders or ("",):
        for path in (folder / subfolder).glob("*.png"):
            seed = int(path.stem) if path.stem.isdecimal() else -1
            if seed in seeds and path == folder / pictures.path(seed):
                path.unlink(missing_ok=True)
    record.unlink(missing_ok=True)


def _read_record(path: pathlib.Path) -> tuple[PictureSet, range, bool]:
    try:
        record = json.loads(read_text(path))
        seeds, complete = record.pop("seeds"), record.pop("complete")
        record |= {name: tuple(record[name]) for name in ("labels", "folders")}
        there = PictureSet(**record)
        if not all(map(_is_safe, there.folders)):
            raise ValueError("folders that lead elsewhere")
        if not there.labels or not all(0 <= label < max(len(there.folders), 1) for label in there.labels):
            raise ValueError("labels without a folder")
        if not there.first_seed <= seeds[0] <= seeds[1] <= there.first_seed + there.count:
            raise ValueError("seeds that are not of the set")
        return there, range(*seeds), complete
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"output: expected a record of this tool in {path}, received {error}") from error


def _is_safe(name: str) -> bool:
    """Return whether a class's name can be a folder's on every system, and cannot lead out of its parent."""
    printable = name.isprintable() and not set(name) & set('/\\:*?"<>|')
    reserved = name.partition(".")[0].casefold() in _RESERVED or name.startswith("seeds_")
    fits = 0 < len(name.encode(errors="replace")) <= _LONGEST_FOLDER_NAME
    return printable and fits and not reserved and name[0] != "." and name[-1] not in ". "
