"""What a model's card says, whatever the run, and what it is read for."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
from typing import Any

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.errors import UserError
from sagan_tf.exporting import model_card as module
from sagan_tf.exporting.model_card import Origin, model_card, write_card
from sagan_tf.serving.classes import classes_of_card
from sagan_tf.serving.contract import DISCRIMINATOR_SIGNATURES, GENERATOR_SIGNATURES
from tests.exporting.small_export import export_config, origin_of

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").rglob("*.cfg"))
SIZES = {"latent_dim": 6, "resolution": 32, "image_channels": 3}
ODD_NAMES = ("T-shirt/top", 'a "quoted" one', "two\nlines", "käfer 甲虫 🐞", "", "\u2028", "caf\udce9")
"""The last as Python reads a folder's name whose bytes are no UTF-8."""


def card_of(origin: Origin, classes: int = 3) -> dict[str, Any]:
    return model_card(origin, classes, SIZES, GENERATOR_SIGNATURES)


def read_strictly(path: pathlib.Path) -> Any:
    """JSON as everybody but Python reads it: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"no JSON: {constant}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_what_a_card_says() -> None:
    card = card_of(origin_of(export_config()))
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


def test_names_in_shapes_are_in_the_card() -> None:
    for signatures, sizes in (
        (GENERATOR_SIGNATURES, SIZES | {"attention_height": 8, "attention_width": 8}),
        (DISCRIMINATOR_SIGNATURES, {"resolution": 32, "image_channels": 3}),
    ):
        card = model_card(origin_of(export_config()), 3, sizes, signatures)
        shapes = [
            size
            for signature in card["signatures"].values()
            for side in signature.values()
            for tensor in side.values()
            for size in tensor["shape"]
        ]
        assert all(isinstance(card[size], int) for size in shapes if isinstance(size, str) and size != "batch")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_can_be_written(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = parse_config([f"--flagfile={path}"])
    origin = dataclasses.replace(origin_of(export_config()), config=config)
    write_card(card_of(origin), tmp_path)
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
def test_the_licence_of_the_data(dataset: str, given: str, expected: str) -> None:
    config = parse_config([f"--dataset={dataset}"])
    origin = dataclasses.replace(origin_of(export_config()), config=config, data_licence=given)
    assert card_of(origin)["data"] == {"dataset": dataset, "licence": expected}


def test_odd_names_of_classes_come_back(tmp_path: pathlib.Path) -> None:
    origin = origin_of(export_config(), class_names=ODD_NAMES)
    write_card(card_of(origin, len(ODD_NAMES)), tmp_path)
    assert classes_of_card(tmp_path / "model_card.json") == (7, ODD_NAMES)


def test_metrics_that_are_no_numbers_are_still_json(tmp_path: pathlib.Path) -> None:
    """Python writes NaN, which browsers and other languages do not read."""
    origin = origin_of(export_config(), metrics={"step": 7, "fid50k": float("nan"), "is50k": float("inf")})
    write_card(card_of(origin), tmp_path)
    assert read_strictly(tmp_path / "model_card.json")["metrics"]["step"] == 7


def test_without_names_and_without_classes(tmp_path: pathlib.Path) -> None:
    for classes in (0, 1000):
        write_card(card_of(origin_of(export_config(), class_names=()), classes), tmp_path)
        assert classes_of_card(tmp_path / "model_card.json") == (classes, ())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"class_names": null}',
        '{"num_classes": "ten"}',
        '{"num_classes": null}',
        '{"num_classes": Infinity}',
        '{"num_classes": -3}',
        '{"class_names": ["a"], "num_classes": 2}',
        '{"class_names": "abc", "num_classes": 3}',
        "\xff",
    ],
)
def test_what_is_no_card(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="^model_card: expected a card with class_names and num_classes in .*received "):
        classes_of_card(path)


def test_a_card_that_is_not_there(tmp_path: pathlib.Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(UserError, match="^model_card: expected a card "):
            classes_of_card(path)


@pytest.mark.parametrize("error", [OSError("no git"), subprocess.CalledProcessError(128, "git")])
def test_sources_that_are_no_checkout(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*command: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(module.subprocess, "run", run)
    assert card_of(origin_of(export_config()))["git_revision"] is None


@pytest.mark.parametrize(("status", "expected"), [("", "abc"), (" M sagan_tf/config.py", "abc+")])
def test_sources_of_a_checkout(status: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess:
        said = {"rev-parse": "abc\n", "status": f"{status}\n"}.get(command[3], "")
        return subprocess.CompletedProcess(command, 0, said, "")

    monkeypatch.setattr(module.subprocess, "run", run)
    assert card_of(origin_of(export_config()))["git_revision"] == expected
