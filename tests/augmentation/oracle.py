"""Reference implementations of the augmentations of one image: NumPy, float64, pixel by pixel."""

import numpy as np


def color(image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    result = image.copy()
    channels = 3 if image.shape[-1] == 4 else image.shape[-1]
    for pixel in np.ndindex(image.shape[:2]):
        shifted = image[pixel][:channels] + draws[0] - 0.5
        result[pixel][:channels] = 2 * draws[1] * shifted + (1 - 2 * draws[1]) * np.mean(shifted)
    mean = np.mean(result[..., :channels])
    for pixel in np.ndindex(image.shape[:2]):
        result[pixel][:channels] = mean + (0.5 + draws[2]) * (result[pixel][:channels] - mean)
    return result


def translation(image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    result, (height, width, _) = np.zeros_like(image), image.shape
    down, right = (
        np.floor(draw * (2 * (size // 8) + 1)) - size // 8 for draw, size in zip(draws, (height, width), strict=True)
    )
    for row, column in np.ndindex(height, width):
        if 0 <= row + down < height and 0 <= column + right < width:
            result[int(row + down), int(column + right)] = image[row, column]
    return result


def cutout(image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    result, (height, width, _) = image.copy(), image.shape
    centers = [np.floor(draw * (size + 1)) for draw, size in zip(draws, (height, width), strict=True)]
    for row, column in np.ndindex(height, width):
        down, right = row + 0.5 - centers[0], column + 0.5 - centers[1]
        if abs(down) < height / 4 and abs(right) < width / 4:
            result[row, column] = 0.0
    return result


def flip(image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    return np.stack([row[::-1] for row in image]) if draws[0] < 0.5 else image


ORACLES = {"color": color, "translation": translation, "cutout": cutout, "flip": flip}
