"""Reads files that nobody should trust by the package's own loaders, in a process that may die of it.

    python -m tests.faults.untrusted_reader SCRATCH images=FOLDER records=FOLDER prepare=FOLDER sizes=FOLDER

Prints one JSON object: for each what was read and what was named, and how far memory rose.
"""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from sagan_tf.config import DataConfig
from sagan_tf.data import image_sets
from sagan_tf.data.images import skipped
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.faults.untrusted_files import noise

ROOT = Path(__file__).parents[2]


def read_in_a_child(scratch: Path, seconds: float, **folders: Path) -> dict[str, Any]:
    """What `main` prints; fails if the process dies or is not done in that time."""
    arguments = [f"{kind}={folder}" for kind, folder in folders.items()]
    command = [sys.executable, "-m", "tests.faults.untrusted_reader", str(scratch), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


class Rise:
    """How far memory rose at most while one thing was read."""

    megabytes = 0

    def __enter__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        self._before = _peak_megabytes()

    def __exit__(self, *exception: object) -> None:
        self.megabytes = max(self.megabytes, _peak_megabytes() - self._before)


def _peak_megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


RISE = Rise()


def open_folder(folder: Path, dataset: str) -> Source:
    return open_source(DataConfig(dataset=dataset, data_dir=str(folder)), resolution=16, image_channels=3)


def read(source: Source) -> list[str]:
    """Names of the images of one epoch, in the order of training."""
    with source.skipped.raising_user_errors():
        epoch = source.examples(seed=0, position=0).take_while(
            lambda example: example["position"] < source.num_examples
        )
        return [example["name"].decode(errors="replace") for example in epoch.as_numpy_iterator()]


def read_images(folder: Path) -> dict[str, Any]:
    source = open_folder(folder, "folder")
    with RISE:
        names = read(source)
    return {"given": source.num_examples, "read": names, "named": source.skipped.reasons}


def read_sizes(folder: Path) -> dict[str, Any]:
    """As `sagan_tf.evaluate --images` looks at them first."""
    paths, read, named = sorted(path for path in folder.rglob("*") if not path.is_dir()), [], {}
    for path in paths:
        try:
            with RISE:
                image_sets._size_and_mode(path)
            read.append(str(path))
        except UserError as error:
            named[str(path)] = str(error)
    return {"given": len(paths), "read": read, "named": named}


def read_records(folder: Path) -> dict[str, Any]:
    """Each subfolder is a data set: what was read of it, and what was said of the rest, or of all."""
    sets = {}
    for data_dir in sorted(folder.iterdir()):
        source = open_folder(data_dir, "tfrecord")
        try:
            with RISE:
                names = read(source)
            sets[data_dir.name] = {"read": names, "named": source.skipped.reasons, "error": ""}
        except UserError as error:
            sets[data_dir.name] = {"read": [], "named": {}, "error": str(error)}
    return {"given": len(sets), "sets": sets}


def prepare(folder: Path) -> dict[str, Any]:
    """What `tools/prepare_imagenet.py` says, writes and logs."""
    from tools.prepare_imagenet import main

    said, log = io.StringIO(), io.StringIO()
    logging.getLogger("sagan_tf").addHandler(logging.StreamHandler(log))
    arguments = ["--dataset=folder", f"--data_dir={folder}", "--resolution=16", "--num_workers=1", "--num_shards=2"]
    with redirect_stdout(said), redirect_stderr(io.StringIO()) as errors, RISE:
        status = main([*arguments, f"--output={folder.parent / 'prepared'}"])
    return {"status": status, "said": said.getvalue(), "errors": errors.getvalue(), "log": log.getvalue().splitlines()}


KINDS = {"images": read_images, "records": read_records, "prepare": prepare, "sizes": read_sizes}


def main() -> None:
    scratch, folders = Path(sys.argv[1]), dict(argument.split("=", 1) for argument in sys.argv[2:])
    # Against the rule, all may be unreadable: what is asked here is whether each of them is named.
    skipped.LARGEST_FRACTION = 1.0
    warm = scratch / "good"
    warm.mkdir(exist_ok=True)
    noise(600, 600, 3).save(warm / "a.png")
    read_images(warm)
    RISE.megabytes = 0
    results: dict[str, Any] = {kind: KINDS[kind](Path(folder)) for kind, folder in folders.items()}
    results["megabytes"] = RISE.megabytes
    sys.stdout.write(json.dumps(results) + "\n")
    sys.stdout.flush()
    os._exit(0)  # past TensorFlow's threads, which may wait for an interpreter that has ended


if __name__ == "__main__":
    main()
