"""The C++ session computes what TensorFlow computes in Python."""

from __future__ import annotations

import concurrent.futures
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.cc_session import CcSession, RunError
from tests.serving.small_model import LATENT_DIM, read_color, save_small_model


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> CcSession:
    return CcSession(save_small_model(tmp_path_factory.mktemp("small")))


def labels(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def test_signatures_of_the_model(session: CcSession) -> None:
    assert {"serving_default", "generate", "attention"} <= set(session.signatures)
    assert set(session.signatures["generate"].inputs) == {"seeds", "labels", "truncation"}


def test_numeric_outputs(session: CcSession) -> None:
    latents = np.arange(3 * LATENT_DIM, dtype=np.float32).reshape(3, LATENT_DIM)
    images = session.run("serving_default", {"latents": latents, "labels": labels(0, 2, 1)})["images"]
    assert images.dtype == np.float32 and images.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0], (latents[:, 0] + [0, 2, 1]) * 0.125)


def test_bytes_outputs(session: CcSession) -> None:
    inputs = {"seeds": np.array([258, 1]), "labels": labels(2, 0), "truncation": np.array([0.5, 8.0], np.float32)}
    files = session.run("generate", inputs)["png_bytes"]
    assert [read_color(png) for png in files] == [[2, 2, 5], [1, 0, 80]]


def test_text_inputs(tmp_path: pathlib.Path) -> None:
    class Echo(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.string)])
        def echo(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"text": text + tf.constant("\0!")}

    model = Echo()
    tf.saved_model.save(model, str(tmp_path / "1"), {"echo": model.echo})
    text = np.array([[b"", b"short\0"], [b"long " * 100, b"\xff"]], object)
    echo = CcSession(tmp_path / "1")
    read = echo.run("echo", {"text": text})["text"]
    assert read.tolist() == [[value + b"\0!" for value in row] for row in text.tolist()]
    echo.close()


@pytest.mark.parametrize(
    ("latents", "wrong", "message"),
    [
        (np.zeros((1, LATENT_DIM), np.float32), labels(3), "labels: expected 0 to 2"),
        (np.zeros((1, LATENT_DIM), np.float32), labels(-1), "labels: expected 0 to 2"),
        (np.full((1, LATENT_DIM), np.nan, np.float32), labels(0), "expected finite numbers"),
        (np.zeros((1, LATENT_DIM)), labels(0), "expects to be float but double is provided|float"),
        (np.zeros((1, LATENT_DIM), np.float32), np.array([0]), "int32"),
    ],
)
def test_invalid_inputs(session: CcSession, latents: np.ndarray, wrong: np.ndarray, message: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        session.run("serving_default", {"latents": latents, "labels": wrong})
    assert caught.value.code == tf.errors.INVALID_ARGUMENT


def test_threads_share_a_session(session: CcSession) -> None:
    def ask(seed: int) -> list[int]:
        inputs = {"seeds": np.array([seed]), "labels": labels(seed % 3), "truncation": np.ones(1, np.float32)}
        return read_color(session.run("generate", inputs)["png_bytes"][0])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(200))) == [[seed, seed % 3, 10] for seed in range(200)]


def test_a_missing_model_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match="Could not find SavedModel") as caught:
        CcSession(tmp_path)
    assert caught.value.code == tf.errors.NOT_FOUND
