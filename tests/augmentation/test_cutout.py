"""Size and position of the square of cutout."""

import tensorflow as tf

from sagan_tf.augmentation.cutout import cut_out


def test_square_has_half_the_size_and_a_uniform_center() -> None:
    draws = tf.random.stateless_uniform([2000, 2], [0, 1])
    cut = cut_out(tf.ones([2000, 32, 32, 1]), draws).numpy()[..., 0] == 0
    # A side has 16 pixels, or fewer if the center is less than 8 pixels from the border, but at least 8.
    mean_side = (16 * 17 + 2 * sum(range(8, 16))) / 33
    assert abs(cut.mean() - (mean_side / 32) ** 2) < 0.01
    assert cut.sum((1, 2)).max() == 16**2 and cut.sum((1, 2)).min() == 8**2
    assert cut.any(0).all()


def test_odd_side_is_centered_on_a_pixel() -> None:
    cut = cut_out(tf.ones([1, 6, 6, 1]), tf.constant([[0.5, 0.5]])).numpy()[0, :, :, 0] == 0
    assert cut.sum() == 9 and cut[2:5, 2:5].all()
