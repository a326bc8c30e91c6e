"""Consistency under changes of images, with a linear discriminator."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization.consistency import FakeConsistency, RealConsistency
from tests.regularization.batches import discriminate, discriminator_batch, make_images, make_numbers


@pytest.mark.parametrize(("regularizer", "kind"), [(RealConsistency, "real"), (FakeConsistency, "fake")])
def test_value_and_changes_of_images(regularizer: Any, kind: str):
    seen: list[tf.Tensor] = []

    def record_and_discriminate(images: tf.Tensor) -> tf.Tensor:
        seen.append(images)
        return discriminate(images)

    def batch(**parts: Any) -> Any:
        logits = discriminate(getattr(discriminator_batch(), f"{kind}_images"))
        functions = {f"compute_{kind}_logits": record_and_discriminate}
        return discriminator_batch(**{f"{kind}_logits": logits} | functions | parts)

    term, metrics = regularizer(10.0)(batch())
    original, changed = make_images(0 if kind == "real" else 1).numpy(), seen[0].numpy()
    expected = ((discriminate(original) - discriminate(changed)).numpy() ** 2).mean()
    assert float(term) == pytest.approx(10.0 * expected, rel=1e-5) and expected > 0.1
    assert [float(value) for value in metrics.values()] == [pytest.approx(expected, rel=1e-5)]
    flips: set[bool] = set()
    offsets = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    for before, after in zip(original[..., 0], changed[..., 0], strict=True):
        found = [
            any(np.array_equal(translate(image, *offset), after) for offset in offsets)
            for image in (before, before[:, ::-1])
        ]
        assert any(found)
        flips.add(found[1])
    assert flips == {False, True}
    regularizer(10.0)(batch())
    regularizer(10.0)(batch(random_numbers=make_numbers(seed=2)))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[0] - seen[2]).max() > 0.1


def translate(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move an image by whole pixels and fill with 0."""
    result, size = np.zeros_like(image), len(image)
    rows, columns = (np.arange(max(by, 0), size + min(by, 0)) for by in (down, right))
    result[np.ix_(rows, columns)] = image[np.ix_(rows - down, columns - right)]
    return result
