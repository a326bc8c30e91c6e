"""TF-GAN's kernel distance, imported without the package's `__init__`, and TensorFlow Hub without pkg_resources."""

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

# setuptools 67.5 to 80 warn when tensorflow_hub imports pkg_resources.
pytestmark = pytest.mark.filterwarnings("ignore:pkg_resources is deprecated")


def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1.0) ** 3


def mean_off_diagonal(matrix: np.ndarray) -> float:
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def block_estimates(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the unbiased estimate of the squared distance of means in the kernel's space for each block, float64.

    Blocks have at most 1,024 features, and sizes that differ by at most 1, in ascending order.
    """
    blocks = math.ceil(max(len(first), len(second)) / 1024)
    parts = [np.array_split(features[::-1].astype(np.float64), blocks)[::-1] for features in (first, second)]
    estimates = []
    for x, y in zip(*parts, strict=True):
        within = mean_off_diagonal(kernel(x, x)) + mean_off_diagonal(kernel(y, y))
        estimates.append(within - 2.0 * kernel(x, y).mean())
    return np.array(estimates)


def features(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, size=(count, 12)).astype(np.float32)


def test_no_estimator_is_needed():
    """TensorFlow has no Estimators, and TF-GAN's `__init__`, which needs them, has not run."""
    assert not hasattr(tf, "estimator")
    assert tf_gan.compute_kernel_distance(np.eye(3), np.eye(3))[0] <= 0.0
    assert not hasattr(sys.modules["tensorflow_gan"], "__file__")
    assert "tensorflow_gan.python.estimator" not in sys.modules


@pytest.mark.parametrize("counts", [(40, 40), (1024, 30), (1025, 1025), (2500, 1301), (700, 3077)])
def test_the_kernel_distance_is_the_block_estimate(counts):
    first, second = features(counts[0], 1), features(counts[1], 2, shift=0.3)
    expected = block_estimates(first, second)
    distance, error = tf_gan.compute_kernel_distance(first, second)
    assert distance == pytest.approx(expected.mean(), rel=1e-6)
    if len(expected) == 1:
        assert math.isnan(error)
    else:
        assert error == pytest.approx(expected.std(ddof=1) / math.sqrt(len(expected)), rel=1e-6)


def test_a_missing_hub_module_raises_a_documented_exception(tmp_path):
    """A directory is its own module."""
    assert tf_gan.fetch_from_hub(str(tmp_path)) == str(tmp_path)
    with pytest.raises((OSError, RuntimeError, ValueError, tf.errors.OpError), match="nothing"):
        tf_gan.fetch_from_hub(str(tmp_path / "nothing"))


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Remove `package` from the imported modules during a test."""
    monkeypatch.setitem(sys.modules, package, sys)  # so that a module that the test imports is removed afterwards
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def no_pkg_resources(monkeypatch):
    """Remove pkg_resources, as setuptools 81 does."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find_spec(name) if name != "pkg_resources" else None)
    forget(monkeypatch, "pkg_resources")
    forget(monkeypatch, "tensorflow_hub")


@pytest.mark.usefixtures("no_pkg_resources")
def test_the_hub_works_without_pkg_resources(tmp_path):
    assert tf_gan.fetch_from_hub(str(tmp_path)) == str(tmp_path)
    stand_in = sys.modules["pkg_resources"]
    assert not hasattr(stand_in, "__path__")
    assert stand_in.parse_version("2.10.0") > stand_in.parse_version("2.9.1")


@pytest.mark.usefixtures("no_pkg_resources")
def test_an_existing_pkg_resources_is_not_replaced(tmp_path, monkeypatch):
    existing = types.ModuleType("pkg_resources")
    monkeypatch.setattr(existing, "parse_version", version.parse, raising=False)
    monkeypatch.setitem(sys.modules, "pkg_resources", existing)
    tf_gan.fetch_from_hub(str(tmp_path))
    assert sys.modules["pkg_resources"] is existing


@pytest.mark.parametrize("name", ["tensorflow_nothing", "this"])
def test_a_missing_package_or_a_module_without_a_directory_is_rejected(name):
    with pytest.raises(ModuleNotFoundError, match=f"no package {name}"):
        tf_gan._create_package_without_init(name)


def test_handle_and_image_size_are_tf_gans():
    """They are read from its source, since importing their module would load tensorflow_hub."""
    (directory,) = tf_gan._create_package_without_init("tensorflow_gan").__path__
    source = Path(directory, "python", "eval", "inception_metrics.py").read_text(encoding="utf-8")
    assert f"INCEPTION_TFHUB = '{tf_gan.INCEPTION_HANDLE}'" in source
    assert f"INCEPTION_DEFAULT_IMAGE_SIZE = {tf_gan.INCEPTION_IMAGE_SIZE}" in source


@pytest.mark.parametrize(("first", "second"), [(2050, 5), (3, 5000)])
def test_too_different_sizes_are_rejected(first, second):
    """TF-GAN returns NaN if a block has less than two features."""
    with pytest.raises(UserError, match=rf"^metrics: .*{first} and {second} "):
        tf_gan.compute_kernel_distance(np.ones((first, 2), np.float32), np.ones((second, 2), np.float32))
