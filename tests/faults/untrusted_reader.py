"""Program that reads untrusted files with the loaders of the package, in a process that may crash.

    python -m tests.faults.untrusted_reader SCRATCH images=DIRECTORY records=DIRECTORY prepare=DIRECTORY sizes=DIRECTORY

It prints one JSON object with the files that were read and reported, and with the increase of memory.
"""

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
from sagan_tf.data.trees.directory_tree import DirectoryTree
from sagan_tf.errors import UserError
from tests.faults.untrusted_files import noise

ROOT = Path(__file__).parents[2]


def read_in_a_child(scratch: Path, seconds: float, **directories: Path) -> dict[str, Any]:
    """Run `main` in a child process and return its result; fail if the process crashes or takes too long."""
    arguments = [f"{kind}={directory}" for kind, directory in directories.items()]
    command = [sys.executable, "-m", "tests.faults.untrusted_reader", str(scratch), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


class MemoryIncrease:
    """The largest increase of memory inside the context, over all uses of the object."""

    megabytes = 0

    def __enter__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._before = _peak_megabytes()

    def __exit__(self, *exception: object) -> None:
        self.megabytes = max(self.megabytes, _peak_megabytes() - self._before)


def _peak_megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


INCREASE = MemoryIncrease()


def open_directory(directory: Path, dataset: str) -> Source:
    return open_source(DataConfig(dataset=dataset, data_dir=str(directory)), resolution=16, image_channels=3)


def read(source: Source) -> list[str]:
    """Return the names of the images of one epoch, in the order of training."""
    with source.skipped.raise_user_errors():
        epoch = source.examples(seed=0, position=0).take_while(
            lambda example: example["position"] < source.num_examples
        )
        return [example["name"].decode(errors="replace") for example in epoch.as_numpy_iterator()]


def read_images(directory: Path) -> dict[str, Any]:
    source = open_directory(directory, "folder")
    with INCREASE:
        names = read(source)
    return {"given": source.num_examples, "read": names, "named": source.skipped.reasons}


def read_sizes(directory: Path) -> dict[str, Any]:
    """Read the sizes of images as `sagan_tf.evaluate --images` does at its start."""
    paths, read, named = sorted(path for path in directory.rglob("*") if not path.is_dir()), [], {}
    for path in paths:
        try:
            with INCREASE:
                image_sets._read_size_and_mode(DirectoryTree(str(directory)), str(path.relative_to(directory)))
            read.append(str(path))
        except UserError as error:
            named[str(path)] = str(error)
    return {"given": len(paths), "read": read, "named": named}


def read_records(directory: Path) -> dict[str, Any]:
    """Read the data set in each subdirectory, and return the files that were read and reported."""
    sets = {}
    for data_dir in sorted(directory.iterdir()):
        source = open_directory(data_dir, "tfrecord")
        try:
            with INCREASE:
                names = read(source)
            sets[data_dir.name] = {"read": names, "named": source.skipped.reasons, "error": ""}
        except UserError as error:
            sets[data_dir.name] = {"read": [], "named": {}, "error": str(error)}
    return {"given": len(sets), "sets": sets}


def prepare(directory: Path) -> dict[str, Any]:
    """Run `tools/prepare_imagenet.py`, and return its status, outputs and log."""
    from tools.prepare_imagenet import run

    output, log = io.StringIO(), io.StringIO()
    logging.getLogger("sagan_tf").addHandler(logging.StreamHandler(log))
    arguments = ["--dataset=folder", f"--data_dir={directory}", "--resolution=16", "--num_workers=1", "--num_shards=2"]
    with redirect_stdout(output), redirect_stderr(io.StringIO()) as errors, INCREASE:
        status = run([*arguments, f"--output={directory.parent / 'prepared'}"])
    return {
        "status": status,
        "output": output.getvalue(),
        "errors": errors.getvalue(),
        "log": log.getvalue().splitlines(),
    }


KINDS = {"images": read_images, "records": read_records, "prepare": prepare, "sizes": read_sizes}


def main() -> None:
    scratch, directories = Path(sys.argv[1]), dict(argument.split("=", 1) for argument in sys.argv[2:])
    # Allow all images to be unreadable, so that every one of them is reported.
    skipped.MAX_SKIPPED_FRACTION = 1.0
    warm = scratch / "good"
    warm.mkdir(exist_ok=True)
    noise(600, 600, 3).save(warm / "a.png")
    read_images(warm)
    INCREASE.megabytes = 0
    results: dict[str, Any] = {kind: KINDS[kind](Path(directory)) for kind, directory in directories.items()}
    results["megabytes"] = INCREASE.megabytes
    sys.stdout.write(json.dumps(results) + "\n")
    sys.stdout.flush()
    os._exit(0)  # TensorFlow's threads may wait for an interpreter that has ended.


if __name__ == "__main__":
    main()
