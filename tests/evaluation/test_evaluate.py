"""`python -m sagan_tf.evaluate` as a user calls it: records are written, and errors are one line and write nothing."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf import evaluate, train
from sagan_tf.cli.flags import parse_config
from sagan_tf.config import EvaluationConfig
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.evaluation import evaluate as evaluate_module
from sagan_tf.evaluation import record_outputs, run_evaluation
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.run_evaluation import create_training_evaluation
from sagan_tf.runs.run_directory import RunDirectory
from tests.features.fake_extractors import save_extractor
from tests.training.tiny import PLAIN_FLAGS, one_device

SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", *PLAIN_FLAGS]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=2", "--strategy=one_device"]
EVALUATION_FLAGS = ["--extractor=fashion_mnist", "--num_samples=300", "--reference=fashion_mnist_10k:reference"]


@pytest.fixture(autouse=True)
def console() -> None:
    """Remove the command's log handler, which writes to the standard output of an earlier test."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("references"))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, references: str) -> pathlib.Path:
    """A run of six steps that was evaluated after every second step."""
    path = tmp_path_factory.mktemp("run")
    flags = [*SMALL, *EVALUATION_FLAGS, "--metrics=fcd,label_agreement", "--evaluate_every=2", "--num_steps=6"]
    flags += ["--seed=3", "--generator_learning_rate=0.01", "--ema_start_step=0", "--ema_decay=0.9"]
    flags += ["--checkpoint_every=4", "--keep_checkpoints=9", f"--reference_dir={references}", f"--run_dir={path}"]
    assert train.run(flags) == 0
    return path


def read_evaluations(run_dir: pathlib.Path) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "evaluation"]


def write_images(directory: pathlib.Path, count: int) -> str:
    images, labels, _ = load_arrays("reference")
    for index in range(count):
        (directory / str(labels[index])).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(images[index]).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(directory / str(labels[index]) / f"{index}.png")
    return str(directory)


def get_error(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert evaluate.run(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("sagan_tf.evaluate: error: ") and "Traceback" not in "".join(printed)
    return printed[-1].removeprefix("sagan_tf.evaluate: error: ")


def test_evaluations_during_training_are_recorded_and_keep_the_best_checkpoint(run_dir: pathlib.Path) -> None:
    lines = read_evaluations(run_dir)
    assert [line["step"] for line in lines[:3]] == [2, 4, 6]
    assert all(line["num_samples"] == {"fcd": 300, "label_agreement": 300} for line in lines[:3])
    best = json.loads((run_dir / "checkpoints" / "best" / "best.json").read_text())
    values = {line["step"]: line["fcd"] for line in lines[:3]}
    expected = (min(values, key=values.get), "fcd", min(values.values()))
    assert (best["step"], best["metric"], best["value"]) == expected
    assert (run_dir / "checkpoints" / "best" / f"step-{best['step']}.index").exists()


def test_evaluation_of_a_run_repeats_that_of_training(
    run_dir: pathlib.Path, references: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Extractor, metrics and reference are the run's own, and the value of the checkpoint is the same."""
    before, during = len(read_evaluations(run_dir)), read_evaluations(run_dir)[2]
    output = tmp_path / "result.json"
    flags = [f"--run_dir={run_dir}", "--num_samples=300", f"--reference_dir={references}", f"--output={output}"]
    assert evaluate.run([*flags, "--seed=3"]) == 0
    record = json.loads(output.read_text())
    assert read_evaluations(run_dir)[before:] == [record]
    assert (record["step"], record["generator_weights"], record["seed"]) == (6, "ema", 3)
    assert record["fcd"] == during["fcd"]
    assert record["evaluation_labels"] == during["evaluation_labels"] == "uniform"
    assert "fcd" in capsys.readouterr().out
    tags = set()
    for path in (run_dir / "tensorboard").iterdir():
        tags |= {(event.step, value.tag) for event in summary_iterator(str(path)) for value in event.summary.value}
    assert (6, "evaluation/fcd") in tags


def test_a_lost_worker_ends_the_evaluation_with_one_line(
    run_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first communication between workers is covered, too."""

    def fail(*arguments: object) -> None:
        raise tf.errors.InternalError(None, None, "NCCL: unhandled system error")

    monkeypatch.setattr(evaluate_module, "count_workers", lambda strategy: 2)
    monkeypatch.setattr(evaluate_module, "run_on_chief", fail)
    assert evaluate.run([f"--run_dir={run_dir}"]) == 75
    printed = capsys.readouterr().err
    assert "NCCL: unhandled system error" in printed and "Traceback" not in printed


@pytest.mark.parametrize(("precision", "labels"), [("mixed_bfloat16", "uniform"), ("float32", "reference")])
def test_a_checkpoint_has_the_same_value_during_and_after_training(
    precision: str, labels: str, references: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In any precision of training, and with the run's distribution of labels."""
    flags = [*SMALL, *EVALUATION_FLAGS, "--metrics=fcd,label_agreement", "--evaluate_every=2", "--num_steps=2"]
    flags += [f"--precision={precision}", f"--evaluation_labels={labels}", f"--reference_dir={references}"]
    assert train.run([*flags, f"--run_dir={tmp_path / 'run'}"]) == 0
    assert evaluate.run([f"--run_dir={tmp_path / 'run'}", "--num_samples=300", f"--reference_dir={references}"]) == 0
    during, afterwards = read_evaluations(tmp_path / "run")
    assert during == afterwards
    assert (during["precision"], during["evaluation_labels"]) == ("float32", labels)
    assert f"labels {labels}" in capsys.readouterr().out


def test_an_unbalanced_reference_gives_one_warning(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """During and after training, where labels are drawn uniformly."""
    directory = tmp_path / "images"
    write_images(directory, 60)
    for path in directory.glob("[2-9]/*"):
        path.rename(directory / "0" / path.name)
    for label in range(2, 10):
        (directory / str(label)).rmdir()
    flags = ["--dataset=folder", f"--data_dir={directory}", *SMALL[1:], "--extractor=fashion_mnist"]
    flags += ["--num_samples=20"]
    flags += [f"--run_dir={tmp_path / 'run'}", f"--reference_dir={tmp_path / 'references'}", "--metrics=fcd"]
    flags += ["--evaluate_every=1", "--num_steps=2"]
    again = [f"--run_dir={tmp_path / 'run'}", f"--reference_dir={tmp_path / 'references'}", "--num_samples=20"]
    for command in (train.run, flags), (evaluate.run, again):
        assert command[0](command[1]) == 0
        assert capsys.readouterr().out.count("--evaluation_labels=reference") == 1
    assert evaluate.run([*again, "--evaluation_labels=reference"]) == 0
    assert "--evaluation_labels" not in capsys.readouterr().out
    previous, last = read_evaluations(tmp_path / "run")[-2:]
    assert last["evaluation_labels"] == "reference" and last["fcd"] != previous["fcd"]


def test_checkpoints_and_weights_can_be_chosen(run_dir: pathlib.Path, references: str, tmp_path: pathlib.Path) -> None:
    records = {}
    best = json.loads((run_dir / "checkpoints" / "best" / "best.json").read_text())["step"]
    for name, flag in {"4": "--checkpoint=4", "best": "--checkpoint=best", "live": "--generator_weights=live"}.items():
        output = tmp_path / name
        flags = [f"--run_dir={run_dir}", flag, "--num_samples=60", f"--reference_dir={references}"]
        assert evaluate.run([*flags, f"--output={output}"]) == 0
        records[name] = json.loads(output.read_text())
    assert [records[name]["step"] for name in ("4", "best", "live")] == [4, best, 6]
    assert records["live"]["generator_weights"] == "live"


@pytest.mark.parametrize("during_training", [True, False])
@pytest.mark.parametrize(("reference", "split"), [("", "train"), ("fashion_mnist_10k:reference", "reference")])
def test_the_training_images_are_the_default_reference(
    reference: str, split: str, during_training: bool, run_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_reference(name: str, source: Source, *arguments: object) -> None:
        raise LookupError(name, source.num_examples)

    monkeypatch.setattr(run_evaluation, "find_reference", find_reference)
    evaluation = EvaluationConfig(("fcd",), "fashion_mnist", reference=reference)
    config = dataclasses.replace(parse_config([f"--flagfile={run_dir / 'flags.cfg'}"]), evaluation=evaluation)
    if during_training:
        source = open_source(config.data, resolution=32, image_channels=1)
        evaluate_run = functools.partial(create_training_evaluation, config, source, one_device())
    else:
        options = EvaluateOptions(run_dir=str(run_dir), strategy="one_device")
        monkeypatch.setattr(evaluate_module, "open_run", lambda path: (RunDirectory(path), config))
        evaluate_run = functools.partial(evaluate_module.evaluate, options, EvaluationConfig())
    with pytest.raises(LookupError) as caught:
        evaluate_run()
    assert caught.value.args == (f"fashion_mnist_10k:{split}", len(load_arrays(split)[0]))


def test_a_directory_and_a_data_set_with_the_same_images_have_the_same_values(
    references: str, tmp_path: pathlib.Path
) -> None:
    directory = write_images(tmp_path / "images", 2000)
    results = []
    for images in (directory, "fashion_mnist_10k:reference"):
        output = tmp_path / "result.json"
        flags = [f"--images={images}", "--extractor=fashion_mnist", f"--reference_dir={references}"]
        flags += ["--reference=fashion_mnist_10k:reference", "--metrics=fcd,label_agreement", f"--output={output}"]
        assert evaluate.run(flags) == 0
        results.append(json.loads(output.read_text()))
    assert abs(results[0]["fcd"]) < 1e-3 and results[0]["images"] == directory
    np.testing.assert_allclose(results[0]["fcd"], results[1]["fcd"], atol=1e-4)
    assert results[0]["label_agreement"] == results[1]["label_agreement"] > 0.9


def test_inception_end_to_end(tmp_path: pathlib.Path) -> None:
    """Compares two directories of images by a module with the signature of TF-GAN's Inception."""
    module = tmp_path / "module"
    save_extractor(module)
    images, real = (write_images(tmp_path / name, count) for name, count in (("images", 20), ("real", 30)))
    output = tmp_path / "result.json"
    flags = [f"--images={images}", f"--reference={real}", "--extractor=inception", f"--inception_dir={module}"]
    flags += ["--metrics=fid,is,kid", "--evaluation_batch_size=10", f"--output={output}"]
    assert evaluate.run([*flags, f"--reference_dir={tmp_path / 'references'}"]) == 0
    record = json.loads(output.read_text())
    assert np.isfinite([record[name] for name in ("fid", "is", "kid")]).all() and 1.0 <= record["is"] <= 1008.0
    assert record["preprocessing"].endswith("to 299x299")
    (stored,) = (tmp_path / "references").iterdir()
    assert evaluate.run([*flags[:1], f"--reference={stored}", *flags[2:]]) == 0
    assert json.loads(output.read_text())["fid"] == record["fid"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected either --run_dir or --images, received neither"),
        (["--run_dir=a", "--images=b"], "expected either --run_dir or --images, received both"),
        (["--run_dir=nowhere"], "run_dir: nowhere "),
        (["--images=nowhere", "--extractor=fashion_mnist", "--metrics=fcd"], "images: expected a "),
        (["--images=nowhere", "--metrics=fjd"], "metrics: expected one of fid, is, "),
        (["--images=a", "--extractor=nowhere"], "extractor: expected inception, fashion_mnist, "),
        (["--images=a", "--output=/proc/nowhere/result.json"], "output: cannot write /proc/nowhere/result.json "),
        (["--images=fashion_mnist_10k:tset", "--extractor=fashion_mnist"], "images=fashion_mnist_10k:tset: split: "),
        (
            ["--images=a", "--metrics=fcd"],
            "metrics: expected metrics of the families fid, is, kid, ",
        ),
        (["--images=a", "--extractor=fashion_mnist", "--evaluate_every=5"], "evaluate_every: --evaluate_every=5 "),
        (["--images=a", "--evaluation_labels=uniform"], "evaluation_labels: --evaluation_labels=uniform "),
        (["--images=a", "--checkpoint=best"], "checkpoint: --checkpoint=best "),
        (["--run_dir=a", "--checkpoint=newest"], "checkpoint: expected latest, best or a step, received 'newest'"),
    ],
)
def test_errors_in_options(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert get_error(capsys, *flags).startswith(message)


def test_errors_in_image_files(tmp_path: pathlib.Path, references: str, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_images(tmp_path / "images", 12)
    common = [f"--images={directory}", "--extractor=fashion_mnist", f"--output={tmp_path / 'result.json'}"]
    few = get_error(capsys, *common, "--metrics=classifier_score10k")
    assert few == f"images: expected at least 10000 for classifier_score10k, received 12 in {directory}"
    assert get_error(capsys, *common, "--metrics=fcd").startswith("reference: expected DATASET:SPLIT, ")
    Image.new("L", (28, 28)).save(tmp_path / "images" / "9" / "small.png")
    mixed = get_error(capsys, *common, "--metrics=classifier_score")
    assert mixed.startswith("images: ") and "32 x 32" in mixed
    (tmp_path / "images" / "9" / "small.png").write_text("no image")
    unreadable = get_error(capsys, *common, "--metrics=classifier_score")
    assert unreadable.startswith("images: ") and "small.png" in unreadable
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_a_checkpoint_of_another_configuration_is_rejected(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_run = tmp_path / "run"
    changed_run.mkdir()
    flags = (run_dir / "flags.cfg").read_text().replace("--base_channels=2", "--base_channels=4")
    (changed_run / "flags.cfg").write_text(flags)
    (changed_run / "checkpoints").symlink_to(run_dir / "checkpoints")
    message = get_error(capsys, f"--run_dir={changed_run}", "--metrics=label_agreement", "--num_samples=10")
    assert message.startswith("checkpoint: ") and "step-" in message and "configuration" in message
    assert not (changed_run / "metrics.jsonl").exists()


@pytest.fixture
def evaluated_run(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the run that a test may change."""
    return shutil.copytree(run_dir, tmp_path / "run", symlinks=True)


def test_outputs_are_checked_before_the_extractor_is_opened(
    evaluated_run: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --output, a run directory that cannot be written gives a warning and no error."""
    output = evaluated_run.with_name("result.json")
    (evaluated_run / "metrics.jsonl").unlink()
    (evaluated_run / "metrics.jsonl").mkdir()
    flags = [f"--run_dir={evaluated_run}", "--metrics=label_agreement,class_agreement", "--num_samples=10"]
    assert evaluate.run([*flags, f"--output={output}"]) == 0
    printed, record = capsys.readouterr().out, json.loads(output.read_text())
    assert f"({record['worst_class']['class_agreement']})" in printed
    assert printed.count("warning: ") == 1 and "run_dir" in printed and "label_agreement" in record
    monkeypatch.setattr(evaluate_module, "open_extractor", None)
    assert "--output" in get_error(capsys, *flags)
    assert str(output / "below") in get_error(capsys, *flags, f"--output={output / 'below'}")


@pytest.mark.parametrize("failing", ["write_atomically", "append_line", "_write_scalars"])
def test_a_record_that_cannot_be_written_is_printed(
    failing: str,
    evaluated_run: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The failure of one output does not prevent writing to the other outputs."""
    output, before = evaluated_run.with_name("result.json"), len(read_evaluations(evaluated_run))

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_outputs, failing, fail)
    flags = [f"--run_dir={evaluated_run}", "--metrics=label_agreement", "--num_samples=10", f"--output={output}"]
    assert evaluate.run(flags) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "No space left on device" in printed.err
    assert "label_agreement" in json.loads(printed.out.splitlines()[-1])
    assert output.exists() == (failing != "write_atomically")
    assert len(read_evaluations(evaluated_run)) == before + (failing != "append_line")


def test_training_rejects_metrics_that_cannot_be_computed(tmp_path: pathlib.Path, references: str) -> None:
    """Before its first step, and before a file is written."""
    rejected = [["--metrics=fcd", "--num_samples=1"], ["--metrics=label_agreement", "--conditioning=none"]]
    rejected.append(["--metrics=fcd", "--evaluation_labels=reference", "--conditioning=none"])
    for flags in rejected:
        run_dir = tmp_path / "run"
        common = [*SMALL, *EVALUATION_FLAGS, *flags, "--evaluate_every=2", "--num_steps=4"]
        assert train.run([*common, f"--reference_dir={references}", f"--run_dir={run_dir}"]) == 2
        assert not run_dir.exists()
