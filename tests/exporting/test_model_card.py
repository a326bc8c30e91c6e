"""Model cards of different runs, written and read again."""

from __future__ import annotations

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

    def refuse(constant: str) -> None:
        raise AssertionError(f"not JSON: {constant}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_card_describes_the_model_and_the_run() -> None:
    card = make_card(make_origin(export_config()))
    expected = {
        "num_classes": 3,
        "class_names": ["apple", "banana", "cherry"],
        **SIZES,
        "run": "boots",
        "step": 7,
        "generator_weights": "ema",
        "metrics": {"step": 7, "fid50k": 12.5},
        "data": {"dataset": "folder", "licence": "not stated"},
        "trained_with": {"python": "3.11"},
    }
    assert {name: card[name] for name in expected} == expected
    assert "boots" in card["model"] and "step 7" in card["model"]
    assert card["configuration"]["base_channels"] == 2 and card["configuration"]["adam_beta2"] == 0.999
    assert card["exported"].endswith("+00:00")
    assert set(card["signatures"]) == set(GENERATOR_SIGNATURES)
    assert card["signatures"]["generate"]["inputs"]["seeds"] == {"dtype": "int64", "shape": ("batch",)}


def test_a_card_has_the_sizes_that_shapes_name() -> None:
    for signatures, sizes in (
        (GENERATOR_SIGNATURES, SIZES | {"attention_height": 8, "attention_width": 8}),
        (DISCRIMINATOR_SIGNATURES, {"resolution": 32, "image_channels": 3}),
    ):
        card = build_model_card(make_origin(export_config()), 3, sizes, signatures)
        shapes = [
            size
            for signature in card["signatures"].values()
            for side in signature.values()
            for tensor in side.values()
            for size in tensor["shape"]
        ]
        assert all(isinstance(card[size], int) for size in shapes if isinstance(size, str) and size != "batch")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_file_gives_a_card(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = parse_config([f"--flagfile={path}"])
    origin = dataclasses.replace(make_origin(export_config()), config=config)
    write_card(make_card(origin), tmp_path)
    found = read_strictly(tmp_path / "model_card.json")
    assert found["configuration"]["resolution"] == config.model.resolution
    assert found["data"]["dataset"] == config.data.dataset
    assert found["configuration"]["attention_resolutions"] == list(config.model.attention_resolutions)


@pytest.mark.parametrize(
    ("dataset", "given", "expected"),
    [
        ("fashion_mnist_10k", "", "MIT (Fashion-MNIST, Zalando Research)"),
        ("imagenet2012", "", "ImageNet's terms of access: non-commercial research and education"),
        ("imagenet2012", "CC0", "CC0"),
        ("folder", "CC BY 4.0", "CC BY 4.0"),
        ("folder", "", "not stated"),
    ],
)
def test_the_license_of_the_data(dataset: str, given: str, expected: str) -> None:
    config = parse_config([f"--dataset={dataset}"])
    origin = dataclasses.replace(make_origin(export_config()), config=config, data_licence=given)
    assert make_card(origin)["data"] == {"dataset": dataset, "licence": expected}


def test_unusual_class_names_are_preserved(tmp_path: pathlib.Path) -> None:
    origin = make_origin(export_config(), class_names=UNUSUAL_NAMES)
    write_card(make_card(origin, len(UNUSUAL_NAMES)), tmp_path)
    assert read_card_classes(tmp_path / "model_card.json") == (7, UNUSUAL_NAMES)


def test_metrics_with_nan_give_valid_json(tmp_path: pathlib.Path) -> None:
    """By default, Python writes NaN, which other languages cannot read."""
    origin = make_origin(export_config(), metrics={"step": 7, "fid50k": float("nan"), "is50k": float("inf")})
    write_card(make_card(origin), tmp_path)
    assert read_strictly(tmp_path / "model_card.json")["metrics"]["step"] == 7


def test_a_card_without_names_or_without_classes(tmp_path: pathlib.Path) -> None:
    for classes in (0, 1000):
        write_card(make_card(make_origin(export_config(), class_names=()), classes), tmp_path)
        assert read_card_classes(tmp_path / "model_card.json") == (classes, ())


@pytest.mark.parametrize("error", [OSError("no git"), subprocess.CalledProcessError(128, "git")])
def test_sources_outside_a_checkout_have_no_revision(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*command: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(module.subprocess, "run", run)
    assert make_card(make_origin(export_config()))["git_revision"] is None


@pytest.mark.parametrize(("status", "expected"), [("", "abc"), (" M sagan_tf/config.py", "abc+")])
def test_a_modified_checkout_is_marked(status: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess:
        output = {"rev-parse": "abc\n", "status": f"{status}\n"}.get(command[3], "")
        return subprocess.CompletedProcess(command, 0, output, "")

    monkeypatch.setattr(module.subprocess, "run", run)
    assert make_card(make_origin(export_config()))["git_revision"] == expected
