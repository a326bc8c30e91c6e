"""Tests of training as a user starts it, with real files and a run directory."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_tf.cli.flags import parse_config
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import make_fixed_inputs
from sagan_tf.runs.load_networks import load_generator
from sagan_tf.train import run
from tests.data.miniature_imagenet import SYNSETS, build_miniature_imagenet
from tests.data.sample_folders import build_record_files
from tests.training.tiny import PLAIN_FLAGS
from tools import prepare_imagenet

ROOT = pathlib.Path(__file__).parents[1]
SMALL = ["--base_channels=2", "--global_batch_size=8", "--num_steps=4", "--steps_per_loop=2", "--strategy=one_device"]
OFTEN = ["--log_every=2", "--sample_every=4", "--checkpoint_every=2"]


def train(run_dir: pathlib.Path, *flags: str) -> int:
    # The first flag may be a flagfile, whose values SMALL and OFTEN override.
    return run([*flags[:1], *SMALL, *OFTEN, *flags[1:], f"--run_dir={run_dir}"])


def check_run(run_dir: pathlib.Path, size: int) -> None:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4]
    assert np.isfinite([value for line in lines for value in line.values() if isinstance(value, float)]).all()
    assert (run_dir / "checkpoints" / "step-4.index").exists()
    with Image.open(run_dir / "samples" / "step_00000004.png") as grid:
        assert grid.mode == "RGB" and min(grid.size) > size


def build_image_directory(directory: pathlib.Path, classes: tuple[str, ...] = ("apples", "pears")) -> None:
    """Write 12 color images for each class, of several sizes and formats."""
    random = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (directory / name).mkdir(parents=True)
        for index in range(12):
            size = 70 + index, 90 - index
            pixels = random.integers(0, 128, (*size, 3), np.uint8) + np.uint8(127 * label)
            Image.fromarray(pixels).save(directory / name / f"{index}.{('png', 'jpg', 'webp')[index % 3]}")


@pytest.mark.slow
def test_imagenet_config_with_a_miniature_data_set(tmp_path):
    build_miniature_imagenet(tmp_path / "tfds")
    flags = [f"--flagfile={ROOT / 'configs' / 'imagenet.cfg'}", f"--data_dir={tmp_path / 'tfds'}"]
    assert train(tmp_path / "run", *flags) == 0
    check_run(tmp_path / "run", 128)
    startup = json.loads((tmp_path / "run" / "startup.json").read_text())
    histogram = startup["data"]["label_histogram"]
    assert len(histogram) == 1000 and [count for count in histogram.values() if count] == [6] * len(SYNSETS)
    flagfile = (tmp_path / "run" / "flags.cfg").read_text()
    assert "--attention_resolutions=64\n" in flagfile and "--num_classes=1000\n" in flagfile
    flags = ["--dataset=imagenet2012", flags[1], f"--output={tmp_path / 'records'}", "--resolution=16"]
    assert prepare_imagenet.run([*flags, "--num_shards=4", "--num_workers=1"]) == 0
    prepared = json.loads((tmp_path / "records" / "train" / "dataset.json").read_text())
    assert sum(count for _, count in prepared["files"]) == 18 and len(prepared["class_names"]) == 1000
    assert prepared["class_counts"] == [*[6] * len(SYNSETS), *[0] * 997]


@pytest.mark.slow
def test_directory_of_color_images(tmp_path):
    build_image_directory(tmp_path / "fruit")
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'fruit'}", "--resolution=32", *PLAIN_FLAGS]
    assert train(tmp_path / "run", *flags) == 0
    check_run(tmp_path / "run", 32)
    histogram = json.loads((tmp_path / "run" / "startup.json").read_text())["data"]["label_histogram"]
    assert histogram == {"apples": 12, "pears": 12}
    # The flags.cfg of the run replays it, and the run is already finished.
    assert run([f"--flagfile={tmp_path / 'run' / 'flags.cfg'}"]) == 0


def test_directory_without_class_directories_needs_no_conditioning(tmp_path):
    build_image_directory(tmp_path, ("fruit",))
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'fruit'}", "--resolution=32", *PLAIN_FLAGS]
    assert train(tmp_path / "run", *flags) == 2
    assert train(tmp_path / "run", *flags, "--conditioning=none") == 0
    check_run(tmp_path / "run", 32)


@pytest.mark.slow
def test_record_files_on_two_logical_cpus(tmp_path):
    build_record_files(tmp_path / "records", resolution=32)
    flags = ["--dataset=tfrecord", f"--data_dir={tmp_path / 'records'}", "--resolution=32", *PLAIN_FLAGS]
    assert train(tmp_path / "run", *flags, "--strategy=mirrored", "--logical_cpus=2") == 0
    check_run(tmp_path / "run", 32)
    assert json.loads((tmp_path / "run" / "startup.json").read_text())["replicas"] == 2


COMPARED_SYSTEMS = ("acgan", "sngan_projection", "dcgan", "imagenet_official", "imagenet_paper")


@pytest.mark.slow  # tests/training/test_steps.py has shorter tests
@pytest.mark.parametrize("config", COMPARED_SYSTEMS)
def test_configs_of_the_compared_systems(tmp_path, config):
    build_image_directory(tmp_path / "fruit")
    flags = [f"--flagfile={ROOT / 'configs' / config}.cfg", "--dataset=folder", f"--data_dir={tmp_path / 'fruit'}"]
    assert train(tmp_path / "run", *flags, "--num_classes=0", "--discriminator_steps_per_step=1") == 0
    check_run(tmp_path / "run", 128)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--attention_resolutions=24"], "attention_resolutions: "),
        (["--resolution=48"], "resolution: "),
        (["--gradient_accumulation_steps=3"], "global_batch_size: "),
        (["--dataset=folder", "--data_dir=/nowhere"], "data_dir: "),
        (["--data_dir=/nowhere"], "data_dir: --data_dir=/nowhere "),
        (["--num_classes=7"], "num_classes: "),
        (["--base_chanels=4"], "--base_chanels"),
    ],
)
def test_user_error_is_one_line_and_leaves_no_files(tmp_path, capsys, flags, message):
    base = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
    assert run([*base, *SMALL, f"--run_dir={tmp_path / 'run'}", *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "run").exists()


def test_modules_run_as_programs():
    started = {}
    for name in ("train", "evaluate", "sample", "export", "serving.client"):
        command = [sys.executable, "-m", f"sagan_tf.{name}", "--\x1b[2Jresolution=48"]
        started[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    for name, process in started.items():
        output, errors = process.communicate()
        assert process.returncode == 2 and output == "" and "Traceback" not in errors
        assert f"sagan_tf.{name}: error: " in errors and "\x1b" not in errors


def test_generator_learns_to_distinguish_two_classes(tmp_path):
    # There are two classes of uniform images, dark and light. The EMA generator must learn to distinguish them.
    for label, name in enumerate(("dark", "light")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(16):
            shade = 40 + 170 * label + index
            Image.new("L", (32, 32), shade).save(tmp_path / "data" / name / f"{index}.png")
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'data'}", "--resolution=32", "--image_channels=1"]
    flags += ["--attention_resolutions=16", "--generator_learning_rate=2e-3", "--discriminator_learning_rate=4e-3"]
    flags += ["--ema_start_step=10", "--ema_decay=0.9", "--adam_beta2=0.9", "--num_steps=100", "--base_channels=4"]
    flags += ["--global_batch_size=16", "--steps_per_loop=50", "--strategy=one_device", f"--run_dir={tmp_path / 'run'}"]
    assert run(flags) == 0
    config = parse_config([f"--flagfile={tmp_path / 'run' / 'flags.cfg'}"])
    generator, step = load_generator(config, tmp_path / "run" / "checkpoints")
    images = generate_images(generator, *make_fixed_inputs(128, 2, 16, seed=3))
    dark, light = images[:16].mean(), images[16:].mean()
    assert step == 100
    # The means of the data are -0.63 and 0.71.
    assert dark < -0.3 and light > 0.3
