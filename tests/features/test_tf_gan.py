"""TF-GAN's formulas, reached past an `__init__` that fails, against others' and our own."""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from packaging import version

from sagan_tf.errors import UserError
from sagan_tf.features import tf_gan

LARGEST_BLOCK = 1024

# setuptools 67.5 to 80 say so when the hub imports it.
pytestmark = pytest.mark.filterwarnings("ignore:pkg_resources is deprecated")


def block_sizes(count: int, blocks: int) -> list[int]:
    """As equal as they can be, the larger ones last."""
    return [count // blocks + (block >= blocks - count % blocks) for block in range(blocks)]


def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1.0) ** 3


def mean_beside_diagonal(matrix: np.ndarray) -> float:
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def block_estimates(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Unbiased estimates of the squared distance of means in the kernel's space, block by block, in float64."""
    blocks = math.ceil(max(len(first), len(second)) / LARGEST_BLOCK)
    estimates, start, other_start = [], 0, 0
    for size, other_size in zip(block_sizes(len(first), blocks), block_sizes(len(second), blocks), strict=True):
        x = first[start : start + size].astype(np.float64)
        y = second[other_start : other_start + other_size].astype(np.float64)
        within = mean_beside_diagonal(kernel(x, x)) + mean_beside_diagonal(kernel(y, y))
        estimates.append(within - 2.0 * kernel(x, y).mean())
        start, other_start = start + size, other_start + other_size
    assert (start, other_start) == (len(first), len(second))
    return np.array(estimates)


def features(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, size=(count, 12)).astype(np.float32)


def test_it_needs_no_estimator() -> None:
    """TensorFlow's Estimators are gone, and the package's own `__init__`, which derives from them, has not run."""
    assert not hasattr(tf, "estimator")
    assert tf_gan.kernel_distance(np.eye(3), np.eye(3))[0] <= 0.0
    assert not hasattr(sys.modules["tensorflow_gan"], "__file__")
    assert "tensorflow_gan.python.estimator" not in sys.modules


@pytest.mark.parametrize("counts", [(40, 40), (1024, 30), (1025, 1025), (2500, 2500), (2500, 1301), (700, 3077)])
def test_the_kernel_distance_is_the_block_estimate(counts: tuple[int, int]) -> None:
    first, second = features(counts[0], 1), features(counts[1], 2, shift=0.3)
    expected = block_estimates(first, second)
    distance, error = tf_gan.kernel_distance(first, second)
    assert distance == pytest.approx(expected.mean(), rel=1e-6)
    if len(expected) == 1:
        assert math.isnan(error)
    else:
        assert error == pytest.approx(expected.std(ddof=1) / math.sqrt(len(expected)), rel=1e-6)


def test_the_kernel_distance_tells_sets_apart() -> None:
    """The estimate is unbiased: about 0 of two sets of one distribution, and far above its error of a shifted one."""
    same, _ = tf_gan.kernel_distance(features(4096, 1), features(4096, 2))
    other, error = tf_gan.kernel_distance(features(4096, 1), features(4096, 2, shift=0.3))
    assert other > 20.0 * error
    assert abs(same) < 0.02 * other


def test_a_folder_is_its_own_hub_module(tmp_path: Path) -> None:
    assert tf_gan.fetch_from_hub(str(tmp_path)) == str(tmp_path)


def test_what_the_hub_does_not_have_is_an_error_of_those_that_are_named(tmp_path: Path) -> None:
    with pytest.raises((OSError, RuntimeError, ValueError, tf.errors.OpError), match="nothing"):
        tf_gan.fetch_from_hub(str(tmp_path / "nothing"))


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if `package` had not been imported; what was there comes back after the test."""
    monkeypatch.setitem(sys.modules, package, sys)  # or nothing that the test leaves there would go
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def no_pkg_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with setuptools 81."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find_spec(name) if name != "pkg_resources" else None)
    forget(monkeypatch, "pkg_resources")
    forget(monkeypatch, "tensorflow_hub")


@pytest.mark.usefixtures("no_pkg_resources")
def test_the_hub_does_without_pkg_resources(tmp_path: Path) -> None:
    assert tf_gan.fetch_from_hub(str(tmp_path)) == str(tmp_path)
    stand_in = sys.modules["pkg_resources"]
    assert not hasattr(stand_in, "__path__")
    assert stand_in.parse_version("2.10.0") > stand_in.parse_version("2.9.1")


@pytest.mark.usefixtures("no_pkg_resources")
def test_pkg_resources_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = types.ModuleType("pkg_resources")
    monkeypatch.setattr(own, "parse_version", version.parse, raising=False)
    monkeypatch.setitem(sys.modules, "pkg_resources", own)
    tf_gan.fetch_from_hub(str(tmp_path))
    assert sys.modules["pkg_resources"] is own


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(ModuleNotFoundError, match="no package tensorflow_nothing among the installed ones"):
        tf_gan._package_without_its_init("tensorflow_nothing")


def test_a_module_is_no_package() -> None:
    """What is found must have a folder, or its modules could not be imported one by one."""
    with pytest.raises(ModuleNotFoundError, match="no package this"):
        tf_gan._package_without_its_init("this")


def test_the_handle_and_the_size_are_what_tf_gan_says() -> None:
    """Read from its source: importing the module that has them would load the hub."""
    (folder,) = tf_gan._package_without_its_init("tensorflow_gan").__path__
    source = Path(folder, "python", "eval", "inception_metrics.py").read_text(encoding="utf-8")
    assert f"INCEPTION_TFHUB = '{tf_gan.INCEPTION_HANDLE}'" in source
    assert f"INCEPTION_DEFAULT_IMAGE_SIZE = {tf_gan.INCEPTION_IMAGE_SIZE}" in source


@pytest.mark.parametrize(("first", "second"), [(2050, 5), (3, 5000)])
def test_sets_that_leave_a_block_without_two(first: int, second: int) -> None:
    """TF-GAN would give NaN."""
    one, other = np.zeros((first, 2), np.float32), np.zeros((second, 2), np.float32)
    with pytest.raises(UserError, match=rf"^metrics: .* kernel distance, received {first} and {second}: each of "):
        tf_gan.kernel_distance(one, other)
