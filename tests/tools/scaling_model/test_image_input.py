"""Input of training."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sagan_tf.config import ModelConfig
from tools import prepare_imagenet
from tools.benchmarks.pipeline_data import write_image_directory
from tools.scaling_model import image_input
from tools.scaling_model.image_input import (
    ImageInput,
    compute_images_per_second,
    create_image_inputs,
    measure_prepared_bytes,
)

README = Path(__file__).parents[3] / "README.md"


def test_only_updates_of_the_discriminator_read_real_images() -> None:
    assert compute_images_per_second(256, 1, 0.5) == 512
    assert compute_images_per_second(64, 5, 0.1) == pytest.approx(3200)


def test_bytes_and_cores() -> None:
    images = ImageInput("made up", image_bytes=1000.0, images_per_core=50.0)
    assert images.compute_bytes_per_second(200.0) == 200e3
    assert images.compute_cores(200.0) == 4.0


def test_size_of_a_prepared_record_agrees_with_the_tool(tmp_path: Path) -> None:
    write_image_directory(tmp_path / "images", 8)
    arguments = ["--dataset=folder", f"--data_dir={tmp_path / 'images'}", f"--output={tmp_path / 'out'}"]
    options = prepare_imagenet.parse_arguments([*arguments, "--resolution=64", "--num_workers=1", "--num_shards=1"])
    prepare_imagenet.prepare(options, tmp_path / "out" / "train")
    (file,) = (tmp_path / "out" / "train").glob("*.tfrecord")
    # The lengths of names differ.
    assert measure_prepared_bytes(64, 3) == pytest.approx(file.stat().st_size / 8, rel=0.02)


def test_prepared_records_are_smaller_and_faster_than_originals() -> None:
    originals, prepared = create_image_inputs(ModelConfig(num_classes=1), 110e3)
    assert originals.image_bytes == 110e3
    assert prepared.image_bytes < originals.image_bytes / 5
    assert prepared.compute_cores(1000.0) < originals.compute_cores(1000.0)
    # tools/prepare_imagenet.py says about 70 MB for a file.
    assert prepare_imagenet.IMAGES_PER_FILE * prepared.image_bytes == pytest.approx(70e6, rel=0.1)


def test_alpha_is_stored_as_png() -> None:
    assert measure_prepared_bytes(32, 4) > measure_prepared_bytes(32, 3)
    assert measure_prepared_bytes(32, 1) < measure_prepared_bytes(32, 3)


def test_speeds_equal_those_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    (original,) = re.findall(r"^\| here, from the same TFDS records.*?\| ([\d,]+);", text, re.M)
    (prepared,) = re.findall(r"^\| here, from prepared records .*?\| ([\d,]+) \|", text, re.M)
    assert "on two cores" in text
    assert float(original.replace(",", "")) / 2 == image_input.ORIGINAL_IMAGES_PER_CORE
    assert float(prepared.replace(",", "")) / 2 == image_input.PREPARED_IMAGES_PER_CORE
