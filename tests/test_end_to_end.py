"""The doors, as a user opens them: real files in, a run directory out; mistakes get one line."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_tf.train import run
from tests.data.miniature_imagenet import SYNSETS, build_miniature_imagenet
from tests.data.sample_folders import build_record_files
from tests.training.tiny import PLAIN_FLAGS

ROOT = pathlib.Path(__file__).parents[1]
SMALL = ["--base_channels=2", "--global_batch_size=8", "--num_steps=4", "--steps_per_loop=2", "--strategy=one_device"]
OFTEN = ["--log_every=2", "--sample_every=4", "--checkpoint_every=2"]


def train(run_dir: pathlib.Path, *flags: str) -> int:
    return run([*flags[:1], *SMALL, *OFTEN, *flags[1:], f"--run_dir={run_dir}"])  # a flagfile comes first, if any


def check_run(run_dir: pathlib.Path, size: int, mode: str = "RGB") -> None:
    """The run went to its end and left what a user looks for."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4]
    assert np.isfinite([value for line in lines for value in line.values() if isinstance(value, float)]).all()
    assert (run_dir / "checkpoints" / "step-4.index").exists()
    with Image.open(run_dir / "samples" / "step_00000004.png") as grid:
        assert grid.mode == mode and min(grid.size) > size


def build_picture_folder(folder: pathlib.Path, classes: tuple[str, ...] = ("apples", "pears")) -> None:
    """Colour photographs, so to speak: 12 a class, of several sizes and formats."""
    random = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(12):
            size = 70 + index, 90 - index
            pixels = random.integers(0, 128, (*size, 3), np.uint8) + np.uint8(127 * label)
            Image.fromarray(pixels).save(folder / name / f"{index}.{('png', 'jpg', 'webp')[index % 3]}")


def test_imagenet_config_on_a_miniature_ilsvrc2012(tmp_path: pathlib.Path):
    build_miniature_imagenet(tmp_path / "tfds")
    flags = [f"--flagfile={ROOT / 'configs' / 'imagenet.cfg'}", f"--data_dir={tmp_path / 'tfds'}"]
    assert train(tmp_path / "run", *flags) == 0
    check_run(tmp_path / "run", 128)
    startup = json.loads((tmp_path / "run" / "startup.json").read_text())
    histogram = startup["data"]["label_histogram"]
    assert len(histogram) == 1000 and [count for count in histogram.values() if count] == [6] * len(SYNSETS)
    flagfile = (tmp_path / "run" / "flags.cfg").read_text()
    assert "--attention_resolutions=64\n" in flagfile and "--num_classes=1000\n" in flagfile


def test_a_folder_of_colour_pictures_trains_by_changing_flags_only(tmp_path: pathlib.Path):
    build_picture_folder(tmp_path / "fruit")
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'fruit'}", "--resolution=64", "--attention_resolutions=32"]
    assert train(tmp_path / "run", *flags) == 0
    check_run(tmp_path / "run", 64)
    histogram = json.loads((tmp_path / "run" / "startup.json").read_text())["data"]["label_histogram"]
    assert histogram == {"apples": 12, "pears": 12}
    # The run's own record replays it, and finds it done.
    assert run([f"--flagfile={tmp_path / 'run' / 'flags.cfg'}"]) == 0


def test_a_flat_folder_trains_without_conditioning(tmp_path: pathlib.Path):
    build_picture_folder(tmp_path, ("fruit",))
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'fruit'}", "--resolution=32", *PLAIN_FLAGS]
    assert train(tmp_path / "run", *flags) == 2
    assert train(tmp_path / "run", *flags, "--conditioning=none") == 0
    check_run(tmp_path / "run", 32)


def test_record_files_train(tmp_path: pathlib.Path):
    build_record_files(tmp_path / "records", resolution=32)
    flags = ["--dataset=tfrecord", f"--data_dir={tmp_path / 'records'}", "--resolution=32", *PLAIN_FLAGS]
    assert train(tmp_path / "run", *flags) == 0
    check_run(tmp_path / "run", 32)


@pytest.mark.parametrize(
    "config",
    [
        "sngan_projection",
        "acgan",
        "dcgan",
        pytest.param("imagenet_official", marks=pytest.mark.slow),
        pytest.param("imagenet_paper", marks=pytest.mark.slow),
    ],
)
def test_the_systems_compared_train_from_their_configs(tmp_path: pathlib.Path, config: str):
    build_picture_folder(tmp_path / "fruit")
    flags = [f"--flagfile={ROOT / 'configs' / config}.cfg", "--dataset=folder", f"--data_dir={tmp_path / 'fruit'}"]
    assert train(tmp_path / "run", *flags, "--num_classes=0", "--discriminator_steps_per_step=1") == 0
    check_run(tmp_path / "run", 128)


def test_two_devices_of_a_cpu(tmp_path: pathlib.Path):
    flags = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", *PLAIN_FLAGS]
    assert train(tmp_path / "run", *flags, "--strategy=mirrored", "--logical_cpus=2") == 0
    check_run(tmp_path / "run", 32)
    assert json.loads((tmp_path / "run" / "startup.json").read_text())["replicas"] == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--attention_resolutions=24"], "attention_resolutions: expected sizes that the generator has"),
        (["--resolution=48"], "resolution: expected one of 32, 64, 128, 256"),
        (["--gradient_accumulation_steps=3"], "global_batch_size: expected a multiple of 3"),
        (["--dataset=folder", "--data_dir=/nowhere"], "data_dir: "),
        (["--split=reference", "--dataset=folder", "--data_dir=/nowhere"], "split: --split=reference "),
        (["--data_dir=/nowhere"], "data_dir: --data_dir=/nowhere "),
        (["--num_classes=7"], "num_classes: expected 10 for fashion_mnist_10k"),
        (["--global_batch_size=20000"], "global_batch_size: expected at most 10000"),
        (["--base_chanels=4"], "unknown flag --base_chanels; did you mean --base_channels?"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, flags: list[str], message: str
):
    base = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
    assert run([*base, *SMALL, f"--run_dir={tmp_path / 'run'}", *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "run").exists()


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "sagan_tf.train", "--resolution=48"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("sagan_tf.train: error: resolution: expected one of 32, 64")
    assert "Traceback" not in done.stderr


def test_learning_happens(tmp_path: pathlib.Path):
    # Two classes of plain pictures, dark and bright: the averaged generator must come to tell them apart.
    for label, name in enumerate(("dark", "light")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(16):
            shade = 40 + 170 * label + index
            Image.new("L", (32, 32), shade).save(tmp_path / "data" / name / f"{index}.png")
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'data'}", "--resolution=32", "--image_channels=1"]
    flags += ["--attention_resolutions=16", "--generator_learning_rate=2e-3", "--discriminator_learning_rate=4e-3"]
    flags += ["--ema_start_step=10", "--ema_decay=0.9", "--adam_beta2=0.9", "--num_steps=150", "--base_channels=4"]
    flags += ["--global_batch_size=16", "--steps_per_loop=50", "--strategy=one_device", f"--run_dir={tmp_path / 'run'}"]
    assert run(flags) == 0
    from sagan_tf.cli.flags import parse_config
    from sagan_tf.generation.inference import generate_images
    from sagan_tf.generation.latents import fixed_inputs
    from sagan_tf.runs.checkpoints import load_generator

    config = parse_config([f"--flagfile={tmp_path / 'run' / 'flags.cfg'}"])
    generator, step = load_generator(config, tmp_path / "run" / "checkpoints")
    images = generate_images(generator, *fixed_inputs(128, 2, 16, seed=3))
    dark, light = images[:16].mean(), images[16:].mean()
    assert step == 150
    # The data's means: -0.63 and 0.71.
    assert dark < -0.3 and light > 0.3
