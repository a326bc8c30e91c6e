"""`python -m sagan_tf.export` as a user calls it: a run in, exports out; mistakes get one line and write nothing."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import shutil
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import export, sample
from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.exporting import export as exporting
from sagan_tf.exporting import saved_model as saved_model_module
from sagan_tf.exporting.tflite import LiteGenerator
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.runs.checkpoints import Checkpoints
from tests.exporting.small_export import files_below
from tests.networks.small_networks import stir
from tests.training.tiny import make_state, one_device, tiny_config

NAMES = ("apple", "banana", "cherry")
LABELS = np.array([0, 1, 2], np.int32)
TFLITE = ["--formats=tflite", "--tflite_precisions=float32", "--parity_samples=2"]


@pytest.fixture(autouse=True)
def console() -> None:
    """The door's handler writes where standard output was when it began."""
    logging.getLogger("sagan_tf").handlers = []


def save_run(path: pathlib.Path, **options: Any) -> pathlib.Path:
    """What a run of two steps leaves that is read here; its three networks differ."""
    config = tiny_config(dataset="fashion_mnist_10k", **options)
    state = make_state(config, one_device())
    for seed, network in enumerate((state.generator, state.generator_ema, state.discriminator), start=4):
        stir(network, seed)
    state.step.assign(2)
    Checkpoints(path / "checkpoints", state, 1).save()
    (path / "flags.cfg").write_text(config_to_flagfile(config))
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
    """Everything, of the averaged weights."""
    path = tmp_path_factory.mktemp("exports")
    flags = ["--formats=saved_model,tflite", *TFLITE[1:], "--discriminator", f"--output={path}"]
    assert export.run([f"--run_dir={run_dir}", *flags]) == 0
    return path


def error_of(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert export.run(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    (line,) = [line for line in printed if not line.startswith("usage: ")]
    assert line.startswith("sagan_tf.export: error: ") and "Traceback" not in "".join(printed)
    return line.removeprefix("sagan_tf.export: error: ")


def network_of(run_dir: pathlib.Path, part: str) -> Any:
    """The network of a checkpoint, by its name in the state."""
    network = (build_discriminator if part == "discriminator" else build_generator)(tiny_config().model)
    state = tf.train.Checkpoint(state=tf.train.Checkpoint(**{part: network}))
    state.restore(str(run_dir / "checkpoints" / "step-2")).expect_partial().assert_existing_objects_matched()
    return network


def pictures_of(folder: pathlib.Path) -> np.ndarray:
    """float32 [3, 32, 32, 1] of the first seeds, by signature `serving_default`."""
    model = tf.saved_model.load(str(folder))
    inputs = {"latents": latents_of_seeds(np.arange(3), 5), "labels": tf.constant(LABELS)}
    return model.signatures["serving_default"](**inputs)["images"].numpy()


def expected_of(network: Any) -> np.ndarray:
    return network([latents_of_seeds(np.arange(3), 5), tf.constant(LABELS)], training=False).numpy()


def card_of(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "model_card.json").read_text())


def test_what_is_written(exports: pathlib.Path) -> None:
    assert sorted(path.name for path in exports.iterdir()) == ["2", "discriminator", "tflite"]
    assert [path.name for path in (exports / "discriminator").iterdir()] == ["2"]
    tflite = ["generator_float32.tflite", "model_card.json", "parity.json", "parity.png"]
    assert sorted(path.name for path in (exports / "tflite").iterdir()) == tflite


def test_all_are_the_runs_own_networks(run_dir: pathlib.Path, exports: pathlib.Path) -> None:
    expected = expected_of(network_of(run_dir, "generator_ema"))
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(pictures_of(exports / "2"), expected, atol=1e-4)
    lite = LiteGenerator((exports / "tflite" / "generator_float32.tflite").read_bytes())
    np.testing.assert_allclose(lite(latents_of_seeds(np.arange(3), 5).numpy(), LABELS), expected, atol=1e-4)
    judge = tf.saved_model.load(str(exports / "discriminator" / "2"))
    found = judge.signatures["serving_default"](images=tf.constant(expected), labels=tf.constant(LABELS))["logits"]
    wanted = network_of(run_dir, "discriminator")([tf.constant(expected), tf.constant(LABELS)], training=False)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_cards(exports: pathlib.Path) -> None:
    for folder in ("2", "tflite"):
        card = card_of(exports / folder)
        expected = {"run": "boots", "step": 2, "class_names": list(NAMES), "num_classes": 3, "generator_weights": "ema"}
        assert {name: card[name] for name in expected} == expected
        assert card["metrics"]["fcd10k"] == 1.5 and card["trained_with"] == {"tensorflow": "2.21.0"}
        assert card["data"] == {"dataset": "fashion_mnist_10k", "licence": "MIT (Fashion-MNIST, Zalando Research)"}
    assert set(card_of(exports / "2")["signatures"]) == {"serving_default", "generate", "attention"}
    assert set(card_of(exports / "tflite")["signatures"]) == {"serving_default"}


def test_the_card_of_a_discriminator_speaks_of_no_generator(exports: pathlib.Path) -> None:
    card = card_of(exports / "discriminator" / "2")
    assert card["class_names"] == list(NAMES) and "latent_dim" not in card
    assert not card["generator_weights"] and card["metrics"] is None
    assert "discriminator" in card["model"]


def test_live_weights_into_the_runs_own_folder(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "boots"
    shutil.copytree(run_dir, copy)
    flags = [f"--run_dir={copy}", "--generator_weights=live", "--checkpoint=2", "--data_licence=CC0"]
    assert export.run(flags) == 0
    folder = copy / "exports" / "2"
    np.testing.assert_allclose(pictures_of(folder), expected_of(network_of(run_dir, "generator")), atol=1e-4)
    card = card_of(folder)
    assert card["generator_weights"] == "live" and card["metrics"]["fcd10k"] == 7.0
    assert card["data"]["licence"] == "CC0"
    (folder / "model_card.json").write_text("older")
    assert export.run([*flags[:2], "--overwrite"]) == 0
    assert card_of(folder)["step"] == 2 and sorted(path.name for path in folder.parent.iterdir()) == ["2"]


def test_convolutions_in_the_form_that_is_asked_for(
    run_dir: pathlib.Path, exports: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The others multiply with sums of a kernel's taps, which are more numbers; the card has the run's own flag."""
    assert export.run([f"--run_dir={run_dir}", f"--output={tmp_path}", "--resampling=plain"]) == 0
    sizes = [sum(path.stat().st_size for path in (one / "2" / "variables").iterdir()) for one in (exports, tmp_path)]
    assert sizes[1] < sizes[0]
    np.testing.assert_allclose(pictures_of(tmp_path / "2"), pictures_of(exports / "2"), atol=1e-4)
    assert card_of(tmp_path / "2")["configuration"]["resampling"] == "auto"


def test_an_export_gives_the_pictures_of_its_run(
    run_dir: pathlib.Path, exports: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ["--mode=images", "--num_samples=6", "--truncation=0.9"]
    assert sample.run([f"--run_dir={run_dir}", f"--output={tmp_path / 'run'}", *flags]) == 0
    assert sample.run([f"--saved_model={exports / '2'}", f"--output={tmp_path / 'export'}", *flags]) == 0
    names = [name for name in files_below(tmp_path / "run") if name.endswith(".png")]
    assert len(names) == 6
    for name in names:
        with Image.open(tmp_path / "run" / name) as one, Image.open(tmp_path / "export" / name) as other:
            first, second = np.asarray(one).astype(int), np.asarray(other).astype(int)
        assert np.ptp(first) > 20 and np.abs(first - second).max() <= 1
    labels = ["--labels=banana", "--columns=1"]  # by the names in the card
    assert sample.run([f"--saved_model={exports / '2'}", f"--output={tmp_path / 'a.png'}", *labels]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--formats=onnx"], "formats: expected a comma list of saved_model, tflite, received 'onnx'"),
        (["--formats="], "formats: expected a comma list of saved_model, tflite, received none"),
        (
            ["--formats=tflite", "--tflite_precisions=int4"],
            "tflite_precisions: expected a comma list of float32, float16, dynamic_int8, int8, received 'int4'",
        ),
        (["--tflite_precisions=int8"], "tflite_precisions: "),
        (["--parity_samples=8"], "parity_samples: "),
        (["--checkpoint=9"], "checkpoint: expected 9 in {run}/checkpoints, received only steps 2"),
        (["--checkpoint=best"], "checkpoint: expected best in {run}/checkpoints, received only steps 2; --evaluate_"),
        (["--checkpoint=new"], "checkpoint: expected latest, best or a step, received 'new'"),
        (["--generator_weights=old"], "--generator_weights=old: expected one of ema, live"),
        (["--output={folder}/file"], "output: cannot write {folder}/file "),
        (["--output={folder}/file/below"], "output: "),
        (["--output={folder}/" + 300 * "a"], "output: "),
    ],
)
def test_mistakes(
    flags: list[str], message: str, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    before = files_below(run_dir)
    given = [flag.replace("{folder}", str(tmp_path)) for flag in flags]
    output = [] if any(flag.startswith("--output") for flag in flags) else [f"--output={tmp_path / 'out'}"]
    found = error_of(capsys, f"--run_dir={run_dir}", *output, *given)
    assert found.startswith(message.format(folder=tmp_path, run=run_dir))
    assert files_below(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"
    assert files_below(run_dir) == before


def test_what_is_no_run(run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = f"--output={tmp_path / 'out'}"
    assert error_of(capsys, output) == "run_dir: expected the folder of a run, received none"
    for path in (tmp_path / "nowhere", tmp_path):
        expected = f"run_dir: expected the folder of a run, with flags.cfg in it, received {path}"
        assert error_of(capsys, f"--run_dir={path}", output) == expected
    shutil.copy(run_dir / "flags.cfg", tmp_path)
    expected = f"checkpoint: expected latest in {tmp_path}/checkpoints, received none"
    assert error_of(capsys, f"--run_dir={tmp_path}", output) == expected
    assert files_below(tmp_path) == ["flags.cfg"]


@pytest.mark.parametrize("there", ["2", "tflite", "discriminator/2"])
def test_what_is_there_stays(
    there: str, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any of the others is written."""
    (tmp_path / there).mkdir(parents=True)
    before = files_below(tmp_path)
    flags = ["--formats=saved_model,tflite", "--discriminator", f"--output={tmp_path}"]
    found = error_of(capsys, f"--run_dir={run_dir}", *flags)
    assert found == f"output: expected no export there yet, received {tmp_path / there}; --overwrite replaces it"
    assert files_below(tmp_path) == before


def test_a_file_where_a_version_belongs(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "2").write_text("mine")
    found = error_of(capsys, f"--run_dir={run_dir}", f"--output={tmp_path}", "--overwrite")
    assert found == f"output: expected a folder, received the file {tmp_path / '2'}"
    assert (tmp_path / "2").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_cannot_be_written(
    mode: int, run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(mode)
    try:
        found = error_of(capsys, f"--run_dir={run_dir}", f"--output={folder}")
        assert found.startswith("output: expected to write ") and "Permission denied" in found
    finally:
        folder.chmod(0o755)
    assert files_below(tmp_path) == ["closed"]


def test_a_full_disk(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(card: dict[str, Any], folder: pathlib.Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_model_module, "write_card", full)
    found = error_of(capsys, f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}")
    assert found == f"output: expected to write {tmp_path / 'out' / '2'}, received No space left on device"
    assert files_below(tmp_path) == []


def test_a_discriminator_that_cannot_be_read_leaves_nothing_written(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*given: Any) -> None:
        raise exporting.UserError("checkpoint: expected an intact one")

    monkeypatch.setattr(exporting, "load_discriminator", damaged)
    error_of(capsys, f"--run_dir={run_dir}", "--discriminator", f"--output={tmp_path / 'out'}")
    assert files_below(tmp_path) == []


def test_a_discriminator_that_judges_groups_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = save_run(tmp_path / "run", discriminator_minibatch_statistics=2)
    found = error_of(capsys, f"--run_dir={run_dir}", "--discriminator", f"--output={tmp_path / 'out'}")
    assert found.startswith("discriminator: ") and "--discriminator_minibatch_statistics" in found
    assert not (tmp_path / "out").exists() or files_below(tmp_path / "out") == []


def test_tflite_without_what_runs_it(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    found = error_of(capsys, f"--run_dir={run_dir}", *TFLITE, f"--output={tmp_path / 'out'}")
    assert found.startswith("formats: ") and found.endswith(f"{sys.executable} -m pip install ai-edge-litert")
    assert files_below(tmp_path) == []


def test_weights_that_are_no_numbers_are_not_exported(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run that diverged: each answer would be a picture of nothing."""
    run_dir, state = save_run(tmp_path / "diverged"), make_state(tiny_config(), one_device())
    state.step.assign(2)
    state.generator_ema.trainable_variables[0].assign(np.nan * state.generator_ema.trainable_variables[0])
    Checkpoints(run_dir / "checkpoints", state, 1).save()
    for formats in ("saved_model", "tflite"):
        assert "expected finite" in error_of(capsys, f"--run_dir={run_dir}", f"--formats={formats}")
    assert not (run_dir / "exports").exists()


def test_models_that_cannot_be_converted_leave_nothing_written(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes last fails, and what came first is not there either."""

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_tflite", full)
    flags = [f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}", "--formats=saved_model,tflite"]
    assert export.run(flags) == 2
    assert files_below(tmp_path) == []


def test_an_export_that_is_not_the_run_does_not_appear(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def different(*given: Any) -> None:
        raise RuntimeError("others")

    monkeypatch.setattr(exporting, "saved_model_error", different)
    with pytest.raises(RuntimeError, match="^others$"):
        export.run([f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"])
    assert files_below(tmp_path) == []


def test_an_export_computes_on_the_cpu(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU it would choose other forms of convolutions: the same command would write another graph."""
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: calls.append((devices, kind)))
    assert export.run([f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"]) == 0
    assert ([], "GPU") in calls
