"""The Python interface trains, loads, samples, evaluates and exports without a command line."""

import doctest
import inspect
import json
import logging
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sagan_tf
from sagan_tf import api
from sagan_tf.config import InitializationConfig
from sagan_tf.config import config as config_module
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from tests.stored.test_stored import unpack

ROOT = pathlib.Path(__file__).parents[1]
SURFACE = pathlib.Path(__file__).with_name("api.txt")


@pytest.fixture
def run_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    return unpack("run", tmp_path)


def describe_surface() -> str:
    """Return the public names of the package with their signatures, one in each line."""
    lines = [f"{name}{inspect.signature(getattr(api, name))}" for name in sorted(api.__all__) if name != "Config"]
    members = {
        "Config": (sagan_tf.Config, ("from_flagfile", "from_options", "to_flagfile")),
        "Generator": (Generator, ("__call__",)),
    }
    for name, (kind, methods) in members.items():
        lines += [f"{name}.{method}{inspect.signature(getattr(kind, method))}" for method in methods]
    return "\n".join(lines) + "\n"


def test_the_public_surface_changes_only_on_purpose():
    assert describe_surface() == SURFACE.read_text()
    assert {*sagan_tf.__all__} == {*api.__all__, "__version__"}


def test_examples(monkeypatch):
    monkeypatch.chdir(ROOT)
    for module in (config_module, api):
        assert doctest.testmod(module, extraglobs={"sagan_tf": sagan_tf}).failed == 0


@pytest.mark.parametrize("num_steps", [150, pytest.param(151, marks=pytest.mark.slow)])
def test_a_run_is_trained(num_steps, run_dir, capsys, monkeypatch):
    """The state of step 150 of an earlier version is restored, and trained if there are more steps."""
    for name in (None, "sagan_tf"):  # pytest and commands that ran before have left handlers
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    config = sagan_tf.Config.from_flagfile(run_dir / "flags.cfg", run_dir=str(run_dir), num_steps=num_steps)
    assert sagan_tf.train(config) == run_dir
    assert {path.stem for path in (run_dir / "checkpoints").glob("*.index")} == {f"step-{num_steps}"}
    printed = capsys.readouterr().out
    assert "150" in printed and ("resumed at step 150" in printed) == (num_steps > 150)
    assert logging.getLogger("sagan_tf").handlers == []


def test_images_of_a_run_a_checkpoint_and_an_export_are_equal(run_dir, tmp_path):
    exports = sagan_tf.export(run_dir, output=str(tmp_path / "exports"))
    step = exports["saved_model"].name
    generators = [
        sagan_tf.load_generator(run_dir),
        sagan_tf.load_generator(run_dir / "checkpoints" / f"step-{step}"),
        sagan_tf.load_generator(exports["saved_model"]),
    ]
    with pytest.raises(UserError, match="^checkpoint.*'best'"):
        sagan_tf.load_generator(run_dir / "checkpoints" / f"step-{step}", checkpoint="best")
    first, *others = [generator(["Bag", 3], seed=5, truncation=1.5) for generator in generators]
    assert first.shape == (2, 32, 32, 1) and first.dtype == np.uint8 and first.std() > 0
    assert all(np.abs(first.astype(int) - images).max() <= 1 for images in others)
    assert not np.array_equal(first, generators[0](["Bag", 3], seed=6, truncation=1.5))
    assert generators[0]().shape[0] == 10  # one image of each class
    np.testing.assert_array_equal(generators[0](["Bag", 3], seed=[5, 6], truncation=1.5)[0], first[0])


def test_sampling_and_evaluating(run_dir, tmp_path):
    written = sagan_tf.sample(run_dir, tmp_path / "grid.png", labels=["Bag"], columns=2)
    assert written.is_file()
    record = sagan_tf.evaluate(run_dir, ["fcd"], extractor="fashion_mnist", num_samples=40, reference_dir=str(tmp_path))
    assert record["fcd"] > 0 and record["num_samples"] == {"fcd": 40}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"num_stepz": 3}, "num_stepz.*num_steps"),
        ({"num_steps": "many"}, "num_steps"),
        ({"num_steps": -1}, "num_steps"),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(UserError, match=name):
        sagan_tf.Config.from_flagfile(ROOT / "configs" / "quickstart.cfg", **options)


def test_options_make_a_configuration():
    config = sagan_tf.Config.from_options(dataset="folder", resolution=64, augment=["color", "flip"])
    assert (config.data.dataset, config.model.resolution) == ("folder", 64)
    assert config.training.augment == ("color", "flip")
    with pytest.raises(UserError, match="resolutoin.*resolution"):
        sagan_tf.Config.from_options(resolutoin=64)
    makers: tuple[Callable[..., Any], ...] = (sagan_tf.Config.from_options, InitializationConfig)
    for make in makers:
        with pytest.raises(UserError, match="class_map.*'cat:Bag'"):
            make(class_map="cat:Bag")
        assert make(class_map=("cat:Bag",)) is not None


def test_data_can_be_opened_before_training(class_directories):
    options = {"dataset": "folder", "data_dir": str(class_directories), "resolution": 32}
    data = sagan_tf.open_data(sagan_tf.Config.from_options(**options))
    assert dict(zip(data.class_names, data.class_counts, strict=True)) == {"cat": 6, "dog": 6}
    (example,) = data.examples(seed=0, position=0).take(1).as_numpy_iterator()
    assert example["image"].shape == (32, 32, 3) and example["image"].dtype == np.uint8
    with pytest.raises(UserError, match="absent"):
        sagan_tf.open_data(sagan_tf.Config.from_options(**options | {"data_dir": "absent"}))


def test_metrics_of_a_run_are_read_by_kind(run_dir):
    health = {"step": 150, "kind": "health", "health/dead_units": 0.0}
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(health) + "\n")
    records = sagan_tf.read_metrics(run_dir, kind="train")
    assert [record["step"] for record in records] == [50, 100, 150] and all("generator_loss" in r for r in records)
    assert sagan_tf.read_metrics(run_dir, kind="health") == [health]
    assert sagan_tf.read_metrics(run_dir) == [*records, health]
    with pytest.raises(UserError, match="trian"):
        sagan_tf.read_metrics(run_dir, kind="trian")
    with pytest.raises(UserError, match="absent"):
        sagan_tf.read_metrics(run_dir / "absent")


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        sagan_tf.load_generator(tmp_path)
    with pytest.raises(UserError, match="color"):
        sagan_tf.sample(tmp_path, tmp_path / "grid.png", color="red")


@pytest.mark.slow
def test_the_example_of_the_readme(tmp_path):
    """The block of the README runs as it stands, but for its number of steps."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(one for one in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "sagan_tf.train(" in one)
    assert len(block.strip().splitlines()) <= 15
    program = block.replace("num_steps=200", "num_steps=2")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""})
