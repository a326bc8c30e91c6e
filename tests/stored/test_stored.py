"""A run and an export that an earlier version wrote still make the same images; `tests/test_api.py` resumes the run.

Commit 51eb50f wrote them: the quickstart with small networks, 150 steps. `images.npz` has images of both.
"""

import pathlib
import zipfile

import numpy as np
import pytest

import sagan_tf

STORED = pathlib.Path(__file__).parent
SEEDS, LABELS, TRUNCATION = [0, 1, 2, 3], [0, 3, 7, 9], 1.0
MAX_ROUNDING = 1  # gray levels of 255, between machines


def unpack(name: str, directory: pathlib.Path) -> pathlib.Path:
    with zipfile.ZipFile(STORED / f"{name}.zip") as archive:
        archive.extractall(directory / name)
    return directory / name


@pytest.mark.parametrize(("name", "weights"), [("run", "ema"), ("run", "live"), ("export", "ema")])
def test_images_are_those_of_the_earlier_version(name, weights, tmp_path):
    generator = sagan_tf.load_generator(unpack(name, tmp_path), weights=weights)
    images = generator(LABELS, seed=SEEDS, truncation=TRUNCATION)
    expected = np.load(STORED / "images.npz")[weights]
    assert np.abs(images.astype(int) - expected).max() <= MAX_ROUNDING
