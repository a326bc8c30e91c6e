"""Consistency under changes of images, with discriminators of one line."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization.consistency import FakeConsistency, RealConsistency
from tests.regularization.batches import corner, discriminator_batch, images, numbers


@pytest.mark.parametrize(("regularizer", "kind"), [(RealConsistency, "real"), (FakeConsistency, "fake")])
def test_images(regularizer: Any, kind: str):
    seen: list[tf.Tensor] = []

    def judge(pictures: tf.Tensor) -> tf.Tensor:
        seen.append(pictures)
        return corner(pictures)

    def batch(**parts: Any) -> Any:
        given = getattr(discriminator_batch(), f"{kind}_images")
        return discriminator_batch(**{f"{kind}_logits": corner(given), f"judge_{kind}": judge} | parts)

    term, metrics = regularizer(10.0)(batch())
    original, changed = images(0 if kind == "real" else 1).numpy(), seen[0].numpy()
    expected = ((corner(original) - corner(changed)).numpy() ** 2).mean()
    assert float(term) == pytest.approx(10.0 * expected, rel=1e-5) and expected > 0.1
    assert [float(value) for value in metrics.values()] == [pytest.approx(expected, rel=1e-5)]
    flips: set[bool] = set()
    for picture, other in zip(original[..., 0], changed[..., 0], strict=True):
        moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        found = [any(np.array_equal(moved(one, *move), other) for move in moves) for one in (picture, picture[:, ::-1])]
        assert any(found)
        flips.add(found[1])
    assert flips == {False, True}
    regularizer(10.0)(batch())
    regularizer(10.0)(batch(random_numbers=numbers(seed=2)))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[0] - seen[2]).max() > 0.1


def moved(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """A picture moved by whole pixels, with 0 where it was not."""
    result, size = np.zeros_like(picture), len(picture)
    rows, columns = (np.arange(max(by, 0), size + min(by, 0)) for by in (down, right))
    result[np.ix_(rows, columns)] = picture[np.ix_(rows - down, columns - right)]
    return result
