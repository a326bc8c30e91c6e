"""Tests that every file in configs/ is a valid experiment record without default values."""

import dataclasses
import functools
import pathlib
import re
import types
from collections.abc import Iterator
from typing import Any

import keras
import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config, ModelConfig, get_option_values
from sagan_tf.networks import build_discriminator, build_generator
from tools.scaling_model.counts import estimate_replica_memory

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.cfg"))
HEADINGS = ("Reproduces:", "Differs:", "Command:", "Data:", "Hardware:", "Cost:", "Expected:", "Measured:")

every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))


def option_name(line: str) -> str:
    """Return the name of the option that a line `--name=value`, `--name` or `--noname` sets."""
    name = line.partition("=")[0].removeprefix("--")
    return name if name in get_option_values(Config()) else name.removeprefix("no")


def read_config(path: pathlib.Path) -> Config:
    """Read a configuration, and set the number of classes, which training reads from the data."""
    config = parse_config([f"--flagfile={path}"])
    num_classes = 10 if config.data.dataset == "cifar10" else 1000
    num_classes = 0 if config.model.conditioning == "none" else num_classes
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=num_classes))


@functools.cache
def build_networks(config: ModelConfig) -> tuple[keras.Model, keras.Model]:
    # Variables that are created in this scope are not allocated; they only have a shape.
    with keras.StatelessScope(initialize_variables=False):
        return build_generator(config), build_discriminator(config)


@pytest.fixture(autouse=True, scope="module")
def _free_networks() -> Iterator[None]:
    yield
    build_networks.cache_clear()


@every_config
def test_networks_can_be_built(path):
    config = read_config(path).model
    generator, discriminator = build_networks(config)
    image_shape = (None, config.resolution, config.resolution, config.image_channels)
    assert generator.output_shape == image_shape
    assert discriminator.input_shape == [image_shape, (None,)]
    logits = {"auxiliary_classifier": [(None, 1), (None, config.num_classes)]}.get(config.conditioning, (None, 1))
    assert discriminator.output_shape == logits
    assert all(variable._value is None for variable in generator.variables + discriminator.variables)


@every_config
def test_config_starts_with_an_experiment_record(path):
    lines = path.read_text().splitlines()
    record = [line for line in lines if line.startswith("#")]
    assert lines[: len(record)] == record, "all comments must be at the top"
    positions = []
    for heading in HEADINGS:
        (position,) = (number for number, line in enumerate(record) if line.startswith(f"# {heading}"))
        assert record[position].removeprefix(f"# {heading}").strip(), f"{heading} is empty"
        positions.append(position)
    assert positions == sorted(positions), "headings must be in the order of HEADINGS"
    assert max(map(len, lines)) <= 120


@every_config
def test_every_line_differs_from_the_defaults(path):
    values, defaults = get_option_values(parse_config([f"--flagfile={path}"])), get_option_values(Config())
    lines = path.read_text().splitlines()
    names = [option_name(line) for line in lines if line and not line.startswith("#")]
    assert len(names) == len(set(names)), "a flag is given twice"
    assert [name for name in names if values[name] == defaults[name]] == []


@every_config
def test_run_dir_and_command_are_those_of_the_config(path):
    relative = path.relative_to(ROOT / "configs").with_suffix("")
    assert parse_config([f"--flagfile={path}"]).training.run_dir == f"runs/{relative}"
    (command,) = (line for line in path.read_text().splitlines() if line.startswith("# Command:"))
    assert str(path.relative_to(ROOT)) in command or command.split()[-2:] == ["make", path.stem]


ACCUMULATION = re.compile(
    r"One GPU of 8, 12, 16, 24 or 80 GB\n# +\(estimated\): --gradient_accumulation_steps=([\d, or]+)\."
)
GPU_CONFIGS = [
    pytest.param(path, id=path.stem, marks=() if path.stem in ("imagenet", "images_64") else pytest.mark.slow)
    for path in CONFIGS
    if "One GPU of" in path.read_text()
]


@pytest.mark.parametrize("path", GPU_CONFIGS)
def test_accumulation_steps_in_the_record_agree_with_the_memory_estimate(path):
    (steps,) = ACCUMULATION.findall(path.read_text())
    written = [int(number) for number in re.findall(r"\d+", steps)]
    config = read_config(path)
    generator, discriminator = build_networks(config.model)
    networks: Any = types.SimpleNamespace(generator=generator, discriminator=discriminator)
    batch_size = config.training.global_batch_size

    @functools.cache
    def estimate_memory(parts: int) -> float:
        return estimate_replica_memory(config, networks, batch_size // parts)

    divisors = [parts for parts in range(1, batch_size + 1) if batch_size % parts == 0]
    # A part may take at most nine tenths of the memory.
    limits = [0.9 * size * 1e9 for size in (8, 12, 16, 24, 80)]
    fewest = [next(parts for parts in divisors if estimate_memory(parts) <= limit) for limit in limits]
    assert written == fewest
