"""Decoding agrees with independent computations, for every format and mode that is read."""

import concurrent.futures
import io
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.data.images import preprocessing
from sagan_tf.data.images.preprocessing import (
    UnreadableImageError,
    decode_image,
    flip_at_random,
    scale_to_unit_range,
    to_uint8,
)
from tests.faults.untrusted_files import encode
from tools.benchmarks.pipeline_data import create_photograph, encode_jpeg


def smooth_image(width: int = 24, height: int = 24) -> np.ndarray:
    """Return uint8 [height, width, 3]: red grows to the right, green downwards, so that every orientation differs."""
    pixels: np.ndarray = np.full((height, width, 3), 90, np.uint8)
    pixels[..., 0], pixels[..., 1] = np.linspace(0, 255, width), np.linspace(0, 255, height)[:, None]
    return pixels


def decode(encoded: bytes, image_channels: int = 3, resolution: int = 24) -> np.ndarray:
    image = decode_image(encoded, resolution=resolution, image_channels=image_channels)
    assert image.dtype == np.uint8
    assert image.shape == (resolution, resolution, image_channels)
    return image


@pytest.mark.parametrize(
    ("image_format", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("JPEG", {"quality": 95, "progressive": True}, 12),
    ],
)
def test_reads_every_color_format(image_format: str, options: dict[str, object], tolerance: int) -> None:
    image = smooth_image()
    decoded = decode(encode(Image.fromarray(image), image_format, **options))
    assert np.abs(decoded.astype(int) - image).max() <= tolerance


def test_gif_decodes_to_its_first_frame() -> None:
    frames = [Image.new("RGB", (24, 24), color) for color in ((250, 0, 0), (0, 250, 0))]
    encoded = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(encoded), np.broadcast_to([250, 0, 0], (24, 24, 3)))


def transpose_to_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Return the pixels that a file with this EXIF orientation stores, computed by NumPy."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]


def encode_with_orientation(
    upright: np.ndarray, orientation: int, image_format: str = "PNG", **options: object
) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(transpose_to_stored(upright, orientation))
    return encode(Image.fromarray(stored), image_format, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(24, 24), (25, 24), (24, 25)])
def test_upright_images_are_cropped_at_the_right_or_bottom(orientation: int, width: int, height: int) -> None:
    """The file of an image with an additional pixel may store that pixel at any side."""
    upright = smooth_image(width, height)
    np.testing.assert_array_equal(decode(encode_with_orientation(upright, orientation)), upright[:24, :24])


@pytest.mark.parametrize("image_channels", [1, 3, 4])
def test_gray_image(image_channels: int) -> None:
    gray = smooth_image()[..., 0]
    decoded = decode(encode(Image.fromarray(gray), "PNG"), image_channels)
    for channel in range(min(image_channels, 3)):
        np.testing.assert_array_equal(decoded[..., channel], gray)
    if image_channels == 4:
        assert (decoded[..., 3] == 255).all()


def test_color_to_gray_is_luma() -> None:
    image = smooth_image()
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode(encode(Image.fromarray(image), "PNG"), image_channels=1)[..., 0] - luma).max() <= 1


def test_every_16_bit_value() -> None:
    values: np.ndarray = np.arange(2**16).reshape(256, 256).astype(np.uint16)
    decoded = decode(encode(Image.fromarray(values), "PNG"), image_channels=1, resolution=256)
    np.testing.assert_array_equal(decoded[..., 0], np.rint(values / 257.0))


@pytest.mark.parametrize(("image_channels", "expected"), [(1, [255]), (3, [255] * 3), (4, [0] * 4)])
def test_16_bit_gray_with_a_transparent_value(image_channels: int, expected: list[int]) -> None:
    """The left half has the transparent value 300, the right half is opaque."""
    values: np.ndarray = np.full((24, 24), 300, np.uint16)
    values[:, 12:] = 65535
    decoded = decode(encode(Image.fromarray(values), "PNG", transparency=300), image_channels)
    assert decoded[0, 23].tolist() == [255] * image_channels
    assert decoded[0, 0, -1] == expected[-1] and (image_channels == 4 or decoded[0, 0].tolist() == expected)


def test_one_bit_image() -> None:
    values: np.ndarray = np.zeros((24, 24), bool)
    values[:, 12:] = True
    decoded = decode(encode(Image.fromarray(values), "PNG"), image_channels=1)
    np.testing.assert_array_equal(decoded[..., 0], values * 255)


@pytest.mark.parametrize("image_channels", [1, 3, 4])
def test_palette_with_transparency(image_channels: int) -> None:
    """The left half is transparent black, the right half is opaque red."""
    image = Image.new("P", (24, 24), 0)
    image.putpalette([0, 0, 0, 250, 0, 0])
    image.paste(1, (12, 0, 24, 24))
    decoded = decode(encode(image, "PNG", transparency=0), image_channels)
    left, right = decoded[12, 0], decoded[12, -1]
    if image_channels == 4:
        assert left[3] == 0
        np.testing.assert_array_equal(right, [250, 0, 0, 255])
    else:
        assert (left == 255).all()
        np.testing.assert_array_equal(right, [[75], [250, 0, 0]][image_channels == 3])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_half_transparent_on_white(mode: str) -> None:
    image = Image.new("RGBA", (24, 24), (0, 0, 0, 102)).convert(mode)
    decoded = decode(encode(image, "PNG"))
    assert np.abs(decoded.astype(int) - 153).max() <= 1  # 0.4 black over 0.6 white


def test_transparent_colors_do_not_affect_opaque_colors() -> None:
    """Opaque red beside transparent green: after the resize, the color is red wherever alpha is not 0."""
    pixels: np.ndarray = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :33] = [255, 0, 0, 255]
    pixels[:, 33:] = [0, 255, 0, 0]
    decoded = decode(encode(Image.fromarray(pixels), "PNG"), image_channels=4, resolution=8)
    assert decoded[..., 1][decoded[..., 3] > 16].max() <= 2


def test_cmyk_jpeg() -> None:
    """Zero ink is white, and full yellow and magenta are red, as viewers show it, not inverted."""
    pixels: np.ndarray = np.zeros((24, 24, 4), np.uint8)
    pixels[:, 12:] = [0, 255, 255, 0]
    decoded: np.ndarray = decode(encode(Image.fromarray(pixels, mode="CMYK"), "JPEG", quality=95)).astype(int)
    assert np.abs(decoded[:, :8] - 255).max() <= 12
    assert np.abs(decoded[:, 16:] - [255, 0, 0]).max() <= 12


@pytest.mark.parametrize(("width", "height"), [(40, 24), (24, 40), (41, 24), (24, 41), (24, 24)])
def test_crops_the_largest_center_square(width: int, height: int) -> None:
    image = smooth_image(width, height)
    left, top = (width - 24) // 2, (height - 24) // 2
    decoded = decode(encode(Image.fromarray(image), "PNG"))
    np.testing.assert_array_equal(decoded, image[top : top + 24, left : left + 24])


def bicubic_weights(source: int, target: int) -> np.ndarray:
    """Return the weights [target, source] of an antialiased bicubic resize (Keys' kernel, a = -1/2)."""
    scale = source / target
    centers = (np.arange(target) + 0.5) * scale
    distance = np.abs((np.arange(source)[None, :] + 0.5 - centers[:, None]) / max(scale, 1))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("target", [8, 13, 40])
def test_resizes_by_the_definition_of_an_antialiased_bicubic(target: int) -> None:
    noise = np.random.default_rng(0).integers(64, 192, (32, 32, 3)).astype(np.uint8)
    weights = bicubic_weights(32, target)
    expected = np.einsum("ts,shc,uh->tuc", weights, noise.astype(float), weights)
    decoded = decode(encode(Image.fromarray(noise), "PNG"), resolution=target)
    assert np.abs(decoded - expected).max() <= 1.5


def compute_psnr(images: np.ndarray, references: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    return 10 * math.log10(255**2 / np.mean((images.astype(float) - references) ** 2))


def decode_in_full(encoded: bytes, resolution: int) -> np.ndarray:
    """Decode every pixel of the largest center square of a JPEG, then resize it."""
    with Image.open(io.BytesIO(encoded)) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        return np.asarray(square.resize((resolution, resolution), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("size", "resolution"),
    [
        ((500, 375), 128),  # 1/2, the usual size in ImageNet: 1.46 times the resolution remains
        ((375, 501), 128),  # 1/2, odd height, with half a pixel at the edge
        ((500, 375), 64),  # 1/4
        ((500, 375), 32),  # 1/8
    ],
)
def test_reduced_decoding_is_close_to_full_decoding(size: tuple[int, int], resolution: int) -> None:
    encoded = encode_jpeg(create_photograph(0, *size))
    assert compute_psnr(decode(encoded, resolution=resolution), decode_in_full(encoded, resolution)) >= 40


@pytest.mark.parametrize(("side", "scale"), [(359, 1), (360, 2), (719, 2), (720, 4), (1440, 8), (4000, 8)])
def test_scale_of_reduced_decoding(side: int, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 1.4 x 128 = 180 pixels remain."""
    sizes = []
    resize = Image.Image.resize

    def recording(image: Image.Image, *arguments: Any, **options: Any) -> Image.Image:
        sizes.append(image.size)
        return resize(image, *arguments, **options)

    encoded = encode(Image.new("RGB", (side, side)), "JPEG")
    monkeypatch.setattr(Image.Image, "resize", recording)
    decode(encoded, resolution=128)
    assert sizes == [(-(-side // scale),) * 2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_upright_and_not_shifted(orientation: int) -> None:
    """The reduced size is odd, and its last column is half a pixel, which may be stored at any side."""
    upright = smooth_image(501, 375)
    decoded = decode(encode_with_orientation(upright, orientation, "JPEG", quality=95), resolution=128)
    expected = Image.fromarray(upright).crop((63, 0, 438, 375)).resize((128, 128), Image.Resampling.BICUBIC)
    difference = decoded.astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 3
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.2  # a shift by one pixel of the reduced image is 1.3 levels


NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
REJECTED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no image": lambda: b"no image at all",
    "cut off": lambda: encode(Image.fromarray(NOISE), "JPEG")[:1000],
    "TIFF": lambda: encode(Image.new("RGB", (8, 8)), "TIFF"),
    # Pillow only warns of 67 to 179 million pixels. A transparent WebP of 900 bytes took 2 GB.
    "8200 x 8192": lambda: encode(Image.new("1", (8200, 8192)), "PNG"),
}


@pytest.mark.parametrize("kind", REJECTED)
def test_rejects_unreadable_images(kind: str) -> None:
    with pytest.raises(UnreadableImageError):
        decode(REJECTED[kind]())


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "_MAX_PARALLEL_PIXELS", 100)
    active, counts = [], []
    convert = preprocessing._convert_to_resizable_mode

    def count_active(image: Image.Image, mode: str) -> Image.Image:
        active.append(id(image))  # list.remove would compare the pixels of images
        counts.append(len(active))
        time.sleep(0.005)
        active.remove(id(image))
        return convert(image, mode)

    monkeypatch.setattr(preprocessing, "_convert_to_resizable_mode", count_active)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: decode(encode(Image.new("RGB", (24, 24)), "PNG")), range(8)))
        assert max(counts) == 1
        list(pool.map(lambda index: decode(encode(Image.new("RGB", (9, 9)), "PNG")), range(8)))
        assert max(counts) > 1


def test_scaling_is_exact_at_the_ends_and_invertible() -> None:
    values = tf.range(256)
    scaled = scale_to_unit_range(tf.cast(values, tf.uint8))
    assert scaled.dtype == tf.float32
    assert (scaled[0], scaled[-1]) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(scaled), values)
    values = [-2.0, -1.0 + 0.6 / 127.5, -1.0 + 0.4 / 127.5, 5.0]
    np.testing.assert_array_equal(to_uint8(tf.constant(values)), [0, 1, 0, 255])


def find_flips(seed: int, positions: range) -> np.ndarray:
    images = tf.tile(tf.constant([[[[1], [2]]]], tf.uint8), [len(positions), 1, 1, 1])
    results = flip_at_random(images, seed=seed, positions=tf.constant(positions, tf.int64)).numpy()
    np.testing.assert_array_equal(np.sort(results, axis=2), images)
    return results[:, 0, 0, 0] == 2


def test_flip_is_a_function_of_seed_and_position() -> None:
    first = find_flips(3, range(10000))
    np.testing.assert_array_equal(first[100:120], find_flips(3, range(100, 120)))
    assert 0.48 < first.mean() < 0.52
    for different in (find_flips(4, range(10000)), find_flips(3, range(1, 10001)), find_flips(3, range(10000, 20000))):
        assert 0.48 < (first == different).mean() < 0.52
