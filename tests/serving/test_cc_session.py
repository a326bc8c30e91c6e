"""The C++ session computes what TensorFlow computes in Python, and refuses what a server must refuse."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.cc_session import CcSession, RunError
from tests.serving.small_model import LATENT_DIM, read_color

GOOD: np.ndarray = np.zeros((1, LATENT_DIM), np.float32)


@pytest.fixture
def session(small_model: pathlib.Path) -> CcSession:
    return CcSession(small_model / "3")


def labels(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def test_outputs_of_numbers_and_bytes(session: CcSession) -> None:
    latents: np.ndarray = np.arange(3 * LATENT_DIM, dtype=np.float32).reshape(3, LATENT_DIM)
    images = session.run("serving_default", {"latents": latents, "labels": labels(0, 2, 1)})["images"]
    assert images.dtype == np.float32 and images.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0], (latents[:, 0] + [0, 2, 1]) * 0.125)
    inputs = {"seeds": np.array([258, 1]), "labels": labels(2, 0), "truncation": np.array([0.5, 8.0], np.float32)}
    files = session.run("generate", inputs)["png_bytes"]
    assert [read_color(png) for png in files] == [[2, 2, 5], [1, 0, 80]]


@pytest.mark.parametrize(
    ("latents", "wrong", "message"),
    [
        (GOOD, labels(3), "labels: expected 0 to 2"),
        (GOOD, labels(-1), "labels: expected 0 to 2"),
        (GOOD * np.float32(np.nan), labels(0), "expected finite numbers"),
        (GOOD.astype(np.float64), labels(0), "float"),
        (GOOD, np.array([0]), "int32"),
    ],
)
def test_invalid_inputs(session: CcSession, latents: np.ndarray, wrong: np.ndarray, message: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        session.run("serving_default", {"latents": latents, "labels": wrong})
    assert caught.value.code == tf.errors.INVALID_ARGUMENT


def test_a_missing_model_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match="SavedModel") as caught:
        CcSession(tmp_path)
    assert caught.value.code == tf.errors.NOT_FOUND
