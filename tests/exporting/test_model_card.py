"""Model cards of different runs, written and read again."""

import dataclasses
import json
import pathlib
import subprocess
from typing import Any

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.exporting import model_card as module
from sagan_tf.exporting.model_card import Origin, build_model_card, write_card
from sagan_tf.serving.classes import read_card_classes
from sagan_tf.serving.contract import DISCRIMINATOR_SIGNATURES, GENERATOR_SIGNATURES
from tests.exporting.small_export import export_config, make_origin

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").rglob("*.cfg"))
SIZES = {"latent_dim": 6, "resolution": 32, "image_channels": 3}
UNUSUAL_NAMES = ("T-shirt/top", 'a "quoted" one', "two\nlines", "käfer 甲虫 🐞", "", "\u2028", "caf\udce9")
"""The last name is how Python reads the name of a directory whose bytes are not UTF-8."""


def make_card(origin: Origin, classes: int = 3) -> dict[str, Any]:
    return build_model_card(origin, classes, SIZES, GENERATOR_SIGNATURES)


def read_strictly(path: pathlib.Path) -> Any:
    """Read JSON without NaN and Infinity, which only Python accepts."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"not JSON: {constant}"))


def test_a_card_describes_the_model_and_the_run():
    card = make_card(make_origin(export_config()))
    expected = {"num_classes": 3, "class_names": ["apple", "banana", "cherry"], "run": "boots", "step": 7, **SIZES}
    expected |= {"generator_weights": "ema", "metrics": {"step": 7, "fid50k": 12.5}, "trained_with": {"python": "3.11"}}
    assert expected.items() <= card.items()
    assert "boots" in card["model"] and "step 7" in card["model"]
    assert card["configuration"]["base_channels"] == 2 and card["configuration"]["adam_beta2"] == 0.999
    assert card["exported"].endswith("+00:00")
    assert set(card["signatures"]) == set(GENERATOR_SIGNATURES)
    assert card["signatures"]["generate"]["inputs"]["seeds"] == {"dtype": "int64", "shape": ("batch",)}


def test_a_card_has_the_sizes_that_shapes_name():
    for signatures, sizes in (
        (GENERATOR_SIGNATURES, SIZES | {"attention_height": 8, "attention_width": 8}),
        (DISCRIMINATOR_SIGNATURES, {"resolution": 32, "image_channels": 3}),
    ):
        card = build_model_card(make_origin(export_config()), 3, sizes, signatures)
        sides = [side for signature in card["signatures"].values() for side in signature.values()]
        shapes = [size for side in sides for tensor in side.values() for size in tensor["shape"]]
        assert all(isinstance(card[size], int) for size in shapes if isinstance(size, str) and size != "batch")


def test_every_configuration_file_gives_a_card(tmp_path):
    for path in CONFIGS:
        config = parse_config([f"--flagfile={path}"])
        write_card(make_card(dataclasses.replace(make_origin(export_config()), config=config)), tmp_path)
        found = read_strictly(tmp_path / "model_card.json")
        assert found["configuration"]["resolution"] == config.model.resolution
        assert found["data"]["dataset"] == config.data.dataset
        assert found["configuration"]["attention_resolutions"] == list(config.model.attention_resolutions)


@pytest.mark.parametrize(
    ("dataset", "given", "expected"),
    [
        ("fashion_mnist_10k", "", "MIT (Fashion-MNIST, Zalando Research)"),
        ("imagenet2012", "CC0", "CC0"),
        ("folder", "", "not stated"),
    ],
)
def test_the_license_of_the_data(dataset, given, expected):
    config = parse_config([f"--dataset={dataset}"])
    origin = dataclasses.replace(make_origin(export_config()), config=config, data_license=given)
    assert make_card(origin)["data"] == {"dataset": dataset, "license": expected}


def test_unusual_class_names_and_metrics(tmp_path):
    """By default, Python writes NaN, which other languages cannot read."""
    metrics = {"step": 7, "fid50k": float("nan"), "is50k": float("inf")}
    for num_classes, names in ((len(UNUSUAL_NAMES), UNUSUAL_NAMES), (0, ()), (1000, ())):
        write_card(make_card(make_origin(export_config(), class_names=names, metrics=metrics), num_classes), tmp_path)
        assert read_card_classes(tmp_path / "model_card.json") == (num_classes, names)
        assert read_strictly(tmp_path / "model_card.json")["metrics"]["step"] == 7


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("", "abc"),
        (" M sagan_tf/config.py", "abc+"),
        (OSError("no git"), None),
        (subprocess.CalledProcessError(128, "git"), None),
    ],
)
def test_the_revision_of_the_sources(status, expected, monkeypatch):
    """A modified checkout is marked; sources outside a checkout have no revision."""

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess:
        if isinstance(status, Exception):
            raise status
        output = {"rev-parse": "abc\n", "status": f"{status}\n"}.get(command[3], "")
        return subprocess.CompletedProcess(command, 0, output, "")

    monkeypatch.setattr(module.subprocess, "run", run)
    assert make_card(make_origin(export_config()))["git_revision"] == expected
