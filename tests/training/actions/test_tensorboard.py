"""Tests of the TensorBoard files of a run, and of their pages in a browser."""

import contextlib
import pathlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from sagan_tf.config import Config, ModelConfig, TrainingConfig
from sagan_tf.training.actions.tensorboard import write_run_metadata
from sagan_tf.visualization.charts import CHARTS
from tests import commands
from tests.training.actions.reports import read_summaries
from tests.training.tiny import RUN_FLAGS
from tests.workers import find_free_ports

SMALL = [*RUN_FLAGS, "--architecture=dcgan", "--attention_resolutions=16", "--steps_per_loop=2", "--num_steps=4"]
SMALL += ["--log_every=2", "--sample_every=2", "--histogram_every=4", "--profile_steps=2,3", "--adam_beta1=0.3125"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("runs") / "small_run"
    assert commands.train([*SMALL, f"--run_dir={path}"]) == 0
    return path


def test_a_run_writes_its_summaries(run_dir):
    found = read_summaries(run_dir / "tensorboard")
    steps = {tag: list(values) for tag, values in found.items()}
    for tag in ("generator_loss", "real_logits", "generator_gradient_norm", "gamma/generator/attention_16"):
        assert steps[tag] == [2, 4], tag
    assert any(tag.startswith("sigma/discriminator/") for tag in steps)
    assert steps["samples"] == steps["attention_maps"] == [2, 4]
    assert steps["generator/attention_16/gamma"] == [4]
    assert {"configuration", "custom_scalars__config__"} <= set(steps)
    assert list((run_dir / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb"))


def test_run_metadata(tmp_path):
    config = Config(model=ModelConfig(resolution=64, num_classes=3), training=TrainingConfig(run_dir="runs/a|b"))
    writer = tf.summary.create_file_writer(str(tmp_path))
    write_run_metadata(writer, config)
    writer.close()
    found = read_summaries(tmp_path)
    text = tf.make_ndarray(found["configuration"][0].tensor).item().decode()
    assert "| **resolution** | **64** |" in text and "runs/a\\|b" in text and "| latent\\_dim |" not in text
    layout = layout_pb2.Layout.FromString(tf.make_ndarray(found["custom_scalars__config__"][0].tensor).item())
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts == {
        title: list(tags) for charts_of_category in CHARTS.values() for title, tags in charts_of_category.items()
    }
    assert charts["losses"] == ["discriminator_loss", "generator_loss"]
    start = found["_hparams_/session_start_info"][0].metadata.plugin_data.content
    hparams = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info.hparams
    assert hparams["resolution"].number_value == 64 and hparams["loss"].string_value == "hinge"
    assert "run_dir" not in hparams and "num_steps" not in hparams


@contextlib.contextmanager
def tensorboard(directory: pathlib.Path) -> Iterator[str]:
    (port,) = find_free_ports(1)
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={directory}", f"--port={port}", "--load_fast=false"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/data/runs", timeout=5).read()
                break
            assert process.poll() is None
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_pages_in_a_browser(run_dir, browser):
    with tensorboard(run_dir.parent) as address:
        browser.open(f"{address}/#scalars")
        browser.wait_for_text("small_run/tensorboard", "generator_loss", "real_logits", "gamma", "sigma")
        browser.open("about:blank")
        browser.open(f"{address}/#images")
        browser.wait_for_text("attention_maps", "samples", "small_run/tensorboard")
        browser.open("about:blank")
        browser.open(f"{address}/#hparams")
        # The page has the names of all hyperparameters and the values of the first five.
        browser.wait_for_text("adam_beta1", "0.3125", "architecture", "matching session groups: 1", str(run_dir))
        browser.open("about:blank")
        browser.open(f"{address}/#custom_scalars")
        browser.wait_for_text("Main curves", "losses", "attention gates (gamma); 0: attention is not used")
