"""The command `python -m sagan_tf.export`: exports of a run, and errors that give one line and write nothing."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
import shutil
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import export, sample
from sagan_tf.exporting import export as exporting
from sagan_tf.exporting import saved_model as saved_model_module
from sagan_tf.exporting.tflite import TFLiteGenerator
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.runs.checkpoints import Checkpoints
from tests.exporting.small_export import list_files
from tests.networks.small_networks import stir
from tests.training.tiny import make_state, one_device, tiny_config

NAMES = ("apple", "banana", "cherry")
LABELS = np.array([0, 1, 2], np.int32)
TFLITE = ["--formats=tflite", "--tflite_precisions=float32", "--parity_samples=2"]


@pytest.fixture(autouse=True)
def console() -> None:
    """Remove the log handler of an earlier test, which writes to the standard output of that test."""
    logging.getLogger("sagan_tf").handlers = []


def save_run(path: pathlib.Path, **options: Any) -> pathlib.Path:
    """Write the files that an export reads of a run of two steps, whose three networks differ."""
    config = tiny_config(dataset="fashion_mnist_10k", **options)
    state = make_state(config, one_device())
    for seed, network in enumerate((state.generator, state.generator_ema, state.discriminator), start=4):
        stir(network, seed)
    state.step.assign(2)
    Checkpoints(path / "checkpoints", state, 1).save()
    (path / "flags.cfg").write_text(config.to_flagfile())
    (path / "versions.json").write_text('{"tensorflow": "2.21.0"}')
    data = {"num_examples": 9, "label_histogram": dict.fromkeys(NAMES, 3)}
    (path / "startup.json").write_text(json.dumps({"data": data}))
    lines = [
        {"step": step, "kind": "evaluation", "generator_weights": weights, "fcd10k": value}
        for step, weights, value in ((1, "ema", 9.0), (2, "ema", 1.5), (2, "live", 7.0))
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return save_run(tmp_path_factory.mktemp("runs") / "boots")


@pytest.fixture(scope="module")
def exports(run_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Export everything, with the EMA generator."""
    path = tmp_path_factory.mktemp("exports")
    flags = ["--formats=saved_model,tflite", *TFLITE[1:], "--discriminator", f"--output={path}"]
    assert export.run([f"--run_dir={run_dir}", *flags]) == 0
    return path


def read_error(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert export.run(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    (line,) = [line for line in printed if not line.startswith("usage: ")]
    assert line.startswith("sagan_tf.export: error: ") and "Traceback" not in "".join(printed)
    return line.removeprefix("sagan_tf.export: error: ")


def load_network(run_dir: pathlib.Path, part: str) -> Any:
    """Load a network of a checkpoint by its name in the training state."""
    network = (build_discriminator if part == "discriminator" else build_generator)(tiny_config().model)
    state = tf.train.Checkpoint(state=tf.train.Checkpoint(**{part: network}))
    state.restore(str(run_dir / "checkpoints" / "step-2")).expect_partial().assert_existing_objects_matched()
    return network


def generate_images(directory: pathlib.Path) -> np.ndarray:
    """Return float32 [3, 32, 32, 1] of the first seeds from the signature `serving_default`."""
    model = tf.saved_model.load(str(directory))
    inputs = {"latents": draw_latents_from_seeds(np.arange(3), 5), "labels": tf.constant(LABELS)}
    return model.signatures["serving_default"](**inputs)["images"].numpy()


def compute_expected_images(network: Any) -> np.ndarray:
    return network([draw_latents_from_seeds(np.arange(3), 5), tf.constant(LABELS)], training=False).numpy()


def read_card(directory: pathlib.Path) -> dict[str, Any]:
    return json.loads((directory / "model_card.json").read_text())


def test_every_export_is_written(exports: pathlib.Path) -> None:
    assert sorted(path.name for path in exports.iterdir()) == ["2", "discriminator", "tflite"]
    assert [path.name for path in (exports / "discriminator").iterdir()] == ["2"]
    tflite = ["generator_float32.tflite", "model_card.json", "parity.json", "parity.png"]
    assert sorted(path.name for path in (exports / "tflite").iterdir()) == tflite


def test_exports_compute_what_the_networks_of_the_run_compute(run_dir: pathlib.Path, exports: pathlib.Path) -> None:
    expected = compute_expected_images(load_network(run_dir, "generator_ema"))
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(generate_images(exports / "2"), expected, atol=1e-4)
    lite = TFLiteGenerator((exports / "tflite" / "generator_float32.tflite").read_bytes())
    np.testing.assert_allclose(lite(draw_latents_from_seeds(np.arange(3), 5).numpy(), LABELS), expected, atol=1e-4)
    discriminator = tf.saved_model.load(str(exports / "discriminator" / "2"))
    found = discriminator.signatures["serving_default"](images=tf.constant(expected), labels=tf.constant(LABELS))[
        "logits"
    ]
    wanted = load_network(run_dir, "discriminator")([tf.constant(expected), tf.constant(LABELS)], training=False)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_model_cards_describe_the_run(exports: pathlib.Path) -> None:
    for name in ("2", "tflite"):
        card = read_card(exports / name)
        expected = {"run": "boots", "step": 2, "class_names": list(NAMES), "num_classes": 3, "generator_weights": "ema"}
        assert {name: card[name] for name in expected} == expected
        assert card["metrics"]["fcd10k"] == 1.5 and card["trained_with"] == {"tensorflow": "2.21.0"}
        assert card["data"] == {"dataset": "fashion_mnist_10k", "licence": "MIT (Fashion-MNIST, Zalando Research)"}
    assert set(read_card(exports / "2")["signatures"]) == {"serving_default", "generate", "attention"}
    assert set(read_card(exports / "tflite")["signatures"]) == {"serving_default"}


def test_the_card_of_a_discriminator_has_no_entries_of_a_generator(exports: pathlib.Path) -> None:
    card = read_card(exports / "discriminator" / "2")
    assert card["class_names"] == list(NAMES) and "latent_dim" not in card
    assert not card["generator_weights"] and card["metrics"] is None
    assert "discriminator" in card["model"]


def test_live_weights_are_exported_into_the_run_directory(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "boots"
    shutil.copytree(run_dir, copy)
    flags = [f"--run_dir={copy}", "--generator_weights=live", "--checkpoint=2", "--data_licence=CC0"]
    assert export.run(flags) == 0
    directory = copy / "exports" / "2"
    np.testing.assert_allclose(
        generate_images(directory), compute_expected_images(load_network(run_dir, "generator")), atol=1e-4
    )
    card = read_card(directory)
    assert card["generator_weights"] == "live" and card["metrics"]["fcd10k"] == 7.0
    assert card["data"]["licence"] == "CC0"
    (directory / "model_card.json").write_text("older")
    assert export.run([*flags[:2], "--overwrite"]) == 0
    assert read_card(directory)["step"] == 2 and sorted(path.name for path in directory.parent.iterdir()) == ["2"]


def test_resampling_selects_the_form_of_convolutions(
    run_dir: pathlib.Path, exports: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The default form stores sums of kernel taps, which are more numbers. The card has the flag of the run."""
    assert export.run([f"--run_dir={run_dir}", f"--output={tmp_path}", "--resampling=plain"]) == 0
    sizes = [
        sum(path.stat().st_size for path in (output / "2" / "variables").iterdir()) for output in (exports, tmp_path)
    ]
    assert sizes[1] < sizes[0]
    np.testing.assert_allclose(generate_images(tmp_path / "2"), generate_images(exports / "2"), atol=1e-4)
    assert read_card(tmp_path / "2")["configuration"]["resampling"] == "auto"


def test_an_export_generates_the_images_of_its_run(
    run_dir: pathlib.Path, exports: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ["--mode=images", "--num_samples=6", "--truncation=0.9"]
    assert sample.run([f"--run_dir={run_dir}", f"--output={tmp_path / 'run'}", *flags]) == 0
    assert sample.run([f"--saved_model={exports / '2'}", f"--output={tmp_path / 'export'}", *flags]) == 0
    names = [name for name in list_files(tmp_path / "run") if name.endswith(".png")]
    assert len(names) == 6
    for name in names:
        with Image.open(tmp_path / "run" / name) as run, Image.open(tmp_path / "export" / name) as exported:
            first, second = np.asarray(run).astype(int), np.asarray(exported).astype(int)
        assert np.ptp(first) > 20 and np.abs(first - second).max() <= 1
    labels = ["--labels=banana", "--columns=1"]  # names come from the card
    assert sample.run([f"--saved_model={exports / '2'}", f"--output={tmp_path / 'a.png'}", *labels]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--formats=onnx"], "formats: .*'onnx'"),
        (["--formats=tflite", "--tflite_precisions=int4"], "tflite_precisions: .*'int4'"),
        (["--tflite_precisions=int8"], "tflite_precisions: "),
        (["--parity_samples=8"], "parity_samples: "),
        (["--checkpoint=9"], "checkpoint: .*9.*{run}/checkpoints"),
        (["--checkpoint=best"], "checkpoint: .*best.*--evaluate_"),
        (["--checkpoint=new"], "checkpoint: .*'new'"),
        (["--generator_weights=old"], "--generator_weights=old: .*ema, live"),
        (["--output={directory}/file"], "output: .*{directory}/file"),
        (["--output={directory}/file/below"], "output: "),
        (["--output={directory}/" + 300 * "a"], "output: "),
    ],
)
def test_errors_in_flags_write_nothing(
    flags: list[str], message: str, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    before = list_files(run_dir)
    given = [flag.replace("{directory}", str(tmp_path)) for flag in flags]
    output = [] if any(flag.startswith("--output") for flag in flags) else [f"--output={tmp_path / 'out'}"]
    found = read_error(capsys, f"--run_dir={run_dir}", *output, *given)
    assert re.match(message.format(directory=tmp_path, run=run_dir), found), found
    assert list_files(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"
    assert list_files(run_dir) == before


def test_a_directory_that_is_not_a_run_is_an_error(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"--output={tmp_path / 'out'}"
    assert read_error(capsys, output).startswith("run_dir: ")
    for path in (tmp_path / "nowhere", tmp_path):
        message = read_error(capsys, f"--run_dir={path}", output)
        assert message.startswith("run_dir: ") and str(path) in message and "flags.cfg" in message
    shutil.copy(run_dir / "flags.cfg", tmp_path)
    message = read_error(capsys, f"--run_dir={tmp_path}", output)
    assert message.startswith("checkpoint: ") and f"{tmp_path}/checkpoints" in message
    assert list_files(tmp_path) == ["flags.cfg"]


@pytest.mark.parametrize("existing", ["2", "tflite", "discriminator/2"])
def test_an_existing_export_is_kept(
    existing: str, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error comes before any other export is written."""
    (tmp_path / existing).mkdir(parents=True)
    before = list_files(tmp_path)
    flags = ["--formats=saved_model,tflite", "--discriminator", f"--output={tmp_path}"]
    found = read_error(capsys, f"--run_dir={run_dir}", *flags)
    assert found.startswith("output: ") and str(tmp_path / existing) in found and "--overwrite" in found
    assert list_files(tmp_path) == before


def test_a_file_with_the_name_of_a_version_is_an_error(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "2").write_text("mine")
    found = read_error(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}", "--overwrite")
    assert found.startswith("output: ") and str(tmp_path / "2") in found
    assert (tmp_path / "2").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_directory_that_cannot_be_written_is_an_error(
    mode: int, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "closed"
    directory.mkdir()
    directory.chmod(mode)
    try:
        found = read_error(capsys, f"--run_dir={run_dir}", f"--output={directory}")
        assert found.startswith("output: ") and "Permission denied" in found
    finally:
        directory.chmod(0o755)
    assert list_files(tmp_path) == ["closed"]


def test_a_full_disk_leaves_nothing(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(card: dict[str, Any], directory: pathlib.Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_model_module, "write_card", full)
    found = read_error(capsys, f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}")
    assert found.startswith(f"output: cannot write {tmp_path / 'out' / '2'}") and "No space left on device" in found
    assert list_files(tmp_path) == []


def test_nothing_is_written_if_the_discriminator_cannot_be_read(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*given: Any) -> None:
        raise exporting.UserError("checkpoint: damaged")

    monkeypatch.setattr(exporting, "load_discriminator", damaged)
    read_error(capsys, f"--run_dir={run_dir}", "--discriminator", f"--output={tmp_path / 'out'}")
    assert list_files(tmp_path) == []


def test_a_discriminator_whose_logits_depend_on_the_batch_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = save_run(tmp_path / "run", discriminator_minibatch_statistics=2)
    found = read_error(capsys, f"--run_dir={run_dir}", "--discriminator", f"--output={tmp_path / 'out'}")
    assert found.startswith("discriminator: ") and "--discriminator_minibatch_statistics" in found
    assert not (tmp_path / "out").exists() or list_files(tmp_path / "out") == []


def test_tflite_needs_its_interpreter(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    found = read_error(capsys, f"--run_dir={run_dir}", *TFLITE, f"--output={tmp_path / 'out'}")
    assert found.startswith("formats: ") and found.endswith(f"{sys.executable} -m pip install ai-edge-litert")
    assert list_files(tmp_path) == []


def test_weights_with_nan_are_not_exported(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir, state = save_run(tmp_path / "diverged"), make_state(tiny_config(), one_device())
    state.step.assign(2)
    state.generator_ema.trainable_variables[0].assign(np.nan * state.generator_ema.trainable_variables[0])
    Checkpoints(run_dir / "checkpoints", state, 1).save()
    for formats in ("saved_model", "tflite"):
        message = read_error(capsys, f"--run_dir={run_dir}", f"--formats={formats}")
        assert message.startswith("checkpoint: ") and "NaN" in message
    assert not (run_dir / "exports").exists()


def test_nothing_is_written_if_tflite_fails(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFLite comes last; the SavedModel, which came first, is removed as well."""

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_tflite", full)
    flags = [f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}", "--formats=saved_model,tflite"]
    assert export.run(flags) == 2
    assert list_files(tmp_path) == []


def test_an_export_that_differs_from_the_run_is_not_written(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def different(*given: Any) -> None:
        raise RuntimeError("different")

    monkeypatch.setattr(exporting, "measure_saved_model_error", different)
    with pytest.raises(RuntimeError, match="^different$"):
        export.run([f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"])
    assert list_files(tmp_path) == []


def test_an_export_computes_on_the_cpu(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the same command would choose other forms of convolutions, and write another graph."""
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: calls.append((devices, kind)))
    assert export.run([f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"]) == 0
    assert ([], "GPU") in calls
