"""Preparation of small record files from image directories."""

from pathlib import Path

from tools.prepare_imagenet import run


def prepare_folder(source: Path, output: Path, *options: str) -> int:
    """Run `tools/prepare_imagenet.py` at 16 px on class directories, and return its exit status."""
    arguments = ["--dataset=folder", f"--data_dir={source}", f"--output={output}", "--resolution=16", "--num_workers=1"]
    return run([*arguments, *options])
