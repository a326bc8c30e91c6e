"""`python -m sagan_tf.evaluate` as a user calls it: records are written, and errors are one line and write nothing."""

import json
import logging
import pathlib
import shutil
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.evaluate import run as run_evaluate
from sagan_tf.evaluation import evaluate as evaluate_module
from sagan_tf.evaluation import record_outputs
from sagan_tf.train import run as run_train
from tests.features.fake_extractors import save_extractor
from tests.training.tiny import PLAIN_FLAGS, RUN_FLAGS

SMALL = [*RUN_FLAGS, *PLAIN_FLAGS, "--nogenerator_spectral_norm", "--nodiscriminator_spectral_norm"]
SMALL += ["--steps_per_loop=2", "--split=reference"]
SMALL += ["--extractor=fashion_mnist", "--num_samples=300"]


@pytest.fixture(autouse=True)
def console():
    """Remove the command's log handler, which writes to the standard output of an earlier test."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return str(tmp_path_factory.mktemp("references"))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, references):
    """A run of six steps that was evaluated after every second step."""
    path = tmp_path_factory.mktemp("run")
    flags = [*SMALL, "--metrics=fcd,label_agreement", "--evaluate_every=2", "--num_steps=6"]
    flags += [
        "--precision=mixed_bfloat16",
        "--seed=3",
        "--generator_learning_rate=0.01",
        "--ema_start_step=0",
        "--ema_decay=0.9",
    ]
    flags += ["--checkpoint_every=4", "--keep_checkpoints=9", f"--reference_dir={references}", f"--run_dir={path}"]
    assert run_train(flags) == 0
    return path


def read_evaluations(run_dir: pathlib.Path) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "evaluation"]


def write_images(directory: pathlib.Path, count: int, first: int = 0) -> str:
    images, labels, _ = load_arrays("reference")
    for index in range(first, first + count):
        (directory / str(labels[index])).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(images[index]).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(directory / str(labels[index]) / f"{index}.png")
    return str(directory)


def read_error(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert run_evaluate(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("sagan_tf.evaluate: error: ") and "Traceback" not in "".join(printed)
    return printed[-1].removeprefix("sagan_tf.evaluate: error: ")


def test_evaluations_during_training_are_recorded_and_keep_the_best_checkpoint(run_dir):
    lines = read_evaluations(run_dir)
    assert [line["step"] for line in lines[:3]] == [2, 4, 6]
    assert all(line["num_samples"] == {"fcd": 300, "label_agreement": 300} for line in lines[:3])
    best = json.loads((run_dir / "checkpoints" / "best" / "best.json").read_text())
    value, step = min((line["fcd"], line["step"]) for line in lines[:3])
    assert (best["step"], best["metric"], best["value"]) == (step, "fcd", value)
    assert (run_dir / "checkpoints" / "best" / f"step-{best['step']}.index").exists()


def test_evaluation_of_a_run_repeats_that_of_training(run_dir, references, tmp_path, capsys):
    """Extractor and metrics are the run's own, and the value of the checkpoint is the same in any precision.

    By default, the training images are the reference.
    """
    before, during = len(read_evaluations(run_dir)), read_evaluations(run_dir)[2]
    output = tmp_path / "result.json"
    flags = [f"--run_dir={run_dir}", "--num_samples=300", f"--reference_dir={references}", f"--output={output}"]
    assert run_evaluate([*flags, "--seed=3"]) == 0
    record = json.loads(output.read_text())
    assert record | {"during_training": True} == during and read_evaluations(run_dir)[before:] == [record]
    expected = {
        "step": 6,
        "generator_weights": "ema",
        "seed": 3,
        "precision": "float32",
        "evaluation_labels": "uniform",
    }
    assert expected.items() <= record.items() and record["reference"]["images"] == "fashion_mnist_10k:reference"
    assert "fcd" in capsys.readouterr().out
    tags = set()
    for path in (run_dir / "tensorboard").iterdir():
        tags |= {(event.step, value.tag) for event in summary_iterator(str(path)) for value in event.summary.value}
    assert (6, "evaluation/fcd") in tags


def test_training_images_are_not_held_out_with_another_reference(run_dir, references, capsys):
    flags = ["--metrics=authenticity", "--reference=fashion_mnist_10k:train", f"--reference_dir={references}"]
    message = read_error(capsys, f"--run_dir={run_dir}", *flags, "--held_out=fashion_mnist_10k:reference")
    assert message.startswith("held_out: ") and "fashion_mnist_10k:reference" in message


@pytest.mark.slow
def test_a_file_of_a_reference_is_compared_with_the_classes_of_the_run(run_dir, references, tmp_path, capsys):
    """Statistics cannot be reduced to these classes. Without a reference, the names of the classes are not needed."""
    directory, startup = tmp_path / "run", tmp_path / "run" / "startup.json"
    shutil.copytree(run_dir, directory)
    with (directory / "flags.cfg").open("a") as file:
        file.write("--exclude_classes=Hat\n")
    (stored,) = pathlib.Path(references).glob("fashion_mnist_10k_reference_*.npz")
    flags = [f"--run_dir={directory}", "--metrics=fcd", "--num_samples=300", f"--reference={stored}"]
    recorded = startup.read_text()
    for text, is_warned in ((recorded, False), (recorded.replace('"Bag"', '"Cap"'), True)):
        startup.write_text(text)
        assert run_evaluate(flags) == 0
        printed = capsys.readouterr()
        assert (f"reference: {stored} has" in printed.out + printed.err) == is_warned
    startup.unlink()
    assert read_error(capsys, *flags).startswith("exclude_classes: ")
    assert run_evaluate([*flags[:1], "--metrics=label_agreement", "--num_samples=300"]) == 0


def test_a_lost_worker_ends_the_evaluation_with_one_line(run_dir, monkeypatch, capsys):
    """The first communication between workers is covered, too."""
    error = tf.errors.InternalError(None, None, "NCCL: unhandled system error")
    monkeypatch.setattr(evaluate_module, "count_workers", lambda strategy: 2)
    monkeypatch.setattr(evaluate_module, "run_on_chief", mock.Mock(side_effect=error))
    assert run_evaluate([f"--run_dir={run_dir}"]) == 75
    printed = capsys.readouterr().err
    assert "NCCL: unhandled system error" in printed and "Traceback" not in printed


@pytest.mark.slow  # tests/evaluation/test_label_distribution.py has shorter tests
def test_an_unbalanced_reference_gives_one_warning(tmp_path, capsys):
    """During and after training, where labels are drawn uniformly."""
    directory = tmp_path / "images"
    write_images(directory, 60)
    for path in directory.glob("[2-9]/*"):
        path.rename(directory / "0" / path.name)
    for label in range(2, 10):
        (directory / str(label)).rmdir()
    again = [f"--run_dir={tmp_path / 'run'}", f"--reference_dir={tmp_path / 'references'}", "--num_samples=20"]
    flags = [*SMALL, *again, "--dataset=folder", f"--data_dir={directory}", "--split=train"]
    flags += ["--metrics=fcd", "--evaluate_every=1", "--num_steps=2"]
    for command in (lambda: run_train(flags), lambda: run_evaluate(again)):
        assert command() == 0
        assert capsys.readouterr().out.count("--evaluation_labels=reference") == 1
    assert run_evaluate([*again, "--evaluation_labels=reference"]) == 0
    assert "--evaluation_labels" not in capsys.readouterr().out
    previous, last = read_evaluations(tmp_path / "run")[-2:]
    assert last["evaluation_labels"] == "reference" and last["fcd"] != previous["fcd"]
    assert last["reference"]["images"] == str(directory)


def test_checkpoints_and_weights_can_be_chosen(run_dir, references, tmp_path):
    records = {}
    best = json.loads((run_dir / "checkpoints" / "best" / "best.json").read_text())["step"]
    for name, flag in {"4": "--checkpoint=4", "best": "--checkpoint=best", "live": "--generator_weights=live"}.items():
        output = tmp_path / name
        flags = [f"--run_dir={run_dir}", flag, "--num_samples=60", f"--reference_dir={references}"]
        assert run_evaluate([*flags, f"--output={output}"]) == 0
        records[name] = json.loads(output.read_text())
    assert [records[name]["step"] for name in ("4", "best", "live")] == [4, best, 6]
    assert records["live"]["generator_weights"] == "live"


def test_a_directory_and_a_data_set_with_the_same_images_have_the_same_values(references, tmp_path):
    directory = write_images(tmp_path / "images", 2000)
    results = []
    for images in (directory, "fashion_mnist_10k:reference"):
        output = tmp_path / "result.json"
        flags = [f"--images={images}", "--extractor=fashion_mnist", f"--reference_dir={references}"]
        flags += ["--reference=fashion_mnist_10k:reference", "--metrics=fcd,label_agreement", f"--output={output}"]
        assert run_evaluate(flags) == 0
        results.append(json.loads(output.read_text()))
    assert abs(results[0]["fcd"]) < 1e-3 and results[0]["images"] == directory
    np.testing.assert_allclose(results[0]["fcd"], results[1]["fcd"], atol=1e-4)
    assert results[0]["label_agreement"] == results[1]["label_agreement"] > 0.9


# The eigenvalues of 2048 features, which FID needs, take seconds; `fcd`, tested above, has the same formula.
@pytest.mark.parametrize("metrics", ["is,kid", pytest.param("fid,is,kid", marks=pytest.mark.slow)])
def test_inception_end_to_end(metrics, tmp_path):
    """Compares two directories of images by a module with the signature of TF-GAN's Inception."""
    save_extractor(tmp_path / "module")
    images, real = (write_images(tmp_path / name, count) for name, count in (("images", 20), ("real", 30)))
    output, references = tmp_path / "result.json", tmp_path / "references"
    flags = [f"--images={images}", "--extractor=inception", f"--inception_dir={tmp_path / 'module'}"]
    flags += ["--evaluation_batch_size=10", f"--output={output}"]
    assert run_evaluate([*flags, f"--metrics={metrics}", f"--reference={real}", f"--reference_dir={references}"]) == 0
    record = json.loads(output.read_text())
    assert np.isfinite([record[name] for name in metrics.split(",")]).all() and 1.0 <= record["is"] <= 1008.0
    assert record["preprocessing"].endswith("to 299x299")
    (stored,) = references.iterdir()
    assert run_evaluate([*flags, "--metrics=kid", f"--reference={stored}"]) == 0
    assert json.loads(output.read_text())["kid"] == record["kid"]


@pytest.mark.parametrize(
    ("flags", "option", "value"),
    [
        ("--run_dir=nowhere", "run_dir", "nowhere"),
        ("--images=nowhere --extractor=fashion_mnist --metrics=fcd", "images", "nowhere"),
        ("--images=nowhere --metrics=fjd", "metrics", "fjd"),
        ("--images=a --extractor=nowhere", "extractor", "nowhere"),
        ("--images=a --output=/proc/nowhere/result.json", "output", "/proc/nowhere/result.json"),
        ("--images=fashion_mnist_10k:tset --extractor=fashion_mnist", "images=fashion_mnist_10k:tset: split", "tset"),
        ("--images=a --metrics=fcd", "metrics", "fcd"),
        ("--images=a --extractor=fashion_mnist --evaluate_every=5", "evaluate_every", "--evaluate_every=5"),
        ("--images=a --evaluation_labels=uniform", "evaluation_labels", "--evaluation_labels=uniform"),
        ("--images=a --checkpoint=best", "checkpoint", "--checkpoint=best"),
    ],
)
def test_errors_in_options(flags, option, value, capsys):
    message = read_error(capsys, *flags.split())
    assert message.startswith(option) and value in message


@pytest.fixture
def evaluated_run(run_dir, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(run_dir, tmp_path / "run", symlinks=True)


def test_outputs_are_checked_before_the_extractor_is_opened(evaluated_run, capsys, monkeypatch):
    """With --output, a run directory that cannot be written gives a warning and no error."""
    output = evaluated_run.with_name("result.json")
    (evaluated_run / "metrics.jsonl").unlink()
    (evaluated_run / "metrics.jsonl").mkdir()
    flags = [f"--run_dir={evaluated_run}", "--metrics=label_agreement,class_agreement", "--num_samples=10"]
    assert run_evaluate([*flags, f"--output={output}"]) == 0
    printed, record = capsys.readouterr().out, json.loads(output.read_text())
    assert f"({record['worst_class']['class_agreement']})" in printed
    assert printed.count("warning: ") == 1 and "run_dir" in printed and "label_agreement" in record
    monkeypatch.setattr(evaluate_module, "open_metric_extractor", None)
    assert "--output" in read_error(capsys, *flags)
    assert str(output / "below") in read_error(capsys, *flags, f"--output={output / 'below'}")


@pytest.mark.parametrize("failing", ["write_atomically", "append_line", "_write_scalars"])
def test_a_record_that_cannot_be_written_is_printed(failing, evaluated_run, capsys, monkeypatch):
    """The failure of one output does not prevent writing to the other outputs."""
    output, before = evaluated_run.with_name("result.json"), len(read_evaluations(evaluated_run))
    monkeypatch.setattr(record_outputs, failing, mock.Mock(side_effect=OSError(28, "No space left on device")))
    flags = [f"--run_dir={evaluated_run}", "--metrics=label_agreement", "--num_samples=10", f"--output={output}"]
    assert run_evaluate(flags) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "No space left on device" in printed.err
    assert "label_agreement" in json.loads(printed.out.splitlines()[-1])
    assert output.exists() == (failing != "write_atomically")
    assert len(read_evaluations(evaluated_run)) == before + (failing != "append_line")


def test_training_rejects_metrics_that_cannot_be_computed(tmp_path, references):
    """Before its first step, and before a file is written."""
    rejected = [["--metrics=fcd", "--num_samples=1"], ["--metrics=label_agreement", "--conditioning=none"]]
    rejected.append(["--metrics=fcd", "--evaluation_labels=reference", "--conditioning=none"])
    for flags in rejected:
        run_dir = tmp_path / "run"
        common = [*SMALL, *flags, "--evaluate_every=2", "--num_steps=4"]
        assert run_train([*common, f"--reference_dir={references}", f"--run_dir={run_dir}"]) == 2
        assert not run_dir.exists()
