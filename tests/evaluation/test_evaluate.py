"""`python -m sagan_tf.evaluate` as a user calls it: files in, a record out; mistakes get one line and write nothing."""

from __future__ import annotations

import dataclasses
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
from sagan_tf.evaluation import record_outputs
from sagan_tf.evaluation.evaluate import evaluate as evaluated
from sagan_tf.evaluation.evaluate import training_evaluation
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.settings import resolve
from tests.features.fake_extractors import save_extractor
from tests.training.tiny import PLAIN_FLAGS, one_device

SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", *PLAIN_FLAGS]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=2", "--strategy=one_device"]
MEASURES = ["--extractor=fashion_mnist", "--num_samples=300", "--reference=fashion_mnist_10k:reference"]


@pytest.fixture(autouse=True)
def console() -> None:
    """The door's handler writes where standard output was when it began."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("references"))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, references: str) -> pathlib.Path:
    """A run of six steps that was evaluated after every second."""
    path = tmp_path_factory.mktemp("run")
    flags = [*SMALL, *MEASURES, "--metrics=fcd,label_agreement", "--evaluate_every=2", "--num_steps=6"]
    flags += ["--seed=3", "--generator_learning_rate=0.01", "--ema_start_step=0", "--ema_decay=0.9"]
    flags += ["--checkpoint_every=4", "--keep_checkpoints=9", f"--reference_dir={references}", f"--run_dir={path}"]
    assert train.run(flags) == 0
    return path


def lines_of(run_dir: pathlib.Path) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "evaluation"]


def write_images(folder: pathlib.Path, count: int) -> str:
    images, labels, _ = load_arrays("reference")
    for index in range(count):
        (folder / str(labels[index])).mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(images[index]).resize((32, 32), Image.Resampling.BICUBIC)
        picture.save(folder / str(labels[index]) / f"{index}.png")
    return str(folder)


def error_of(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert evaluate.run(flags) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("sagan_tf.evaluate: error: ") and "Traceback" not in "".join(printed)
    return printed[-1].removeprefix("sagan_tf.evaluate: error: ")


def test_while_training(run_dir: pathlib.Path) -> None:
    lines = lines_of(run_dir)
    assert [line["step"] for line in lines[:3]] == [2, 4, 6]
    assert all(line["num_samples"] == {"fcd": 300, "label_agreement": 300} for line in lines[:3])
    best = json.loads((run_dir / "checkpoints" / "best" / "best.json").read_text())
    values = {line["step"]: line["fcd"] for line in lines[:3]}
    expected = (min(values, key=values.get), "fcd", min(values.values()))
    assert (best["step"], best["metric"], best["value"]) == expected
    assert (run_dir / "checkpoints" / "best" / f"step-{best['step']}.index").exists()


def test_of_a_run(
    run_dir: pathlib.Path, references: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Extractor, metrics and reference are the run's own; what training said of the checkpoint is said again."""
    before, during = len(lines_of(run_dir)), lines_of(run_dir)[2]
    output = tmp_path / "result.json"
    flags = [f"--run_dir={run_dir}", "--num_samples=300", f"--reference_dir={references}", f"--output={output}"]
    assert evaluate.run([*flags, "--seed=3"]) == 0
    record = json.loads(output.read_text())
    assert lines_of(run_dir)[before:] == [record]
    assert (record["step"], record["generator_weights"], record["seed"]) == (6, "ema", 3)
    assert record["fcd"] == during["fcd"]
    assert record["evaluation_labels"] == during["evaluation_labels"] == "uniform"
    assert "fcd" in capsys.readouterr().out
    tags = set()
    for path in (run_dir / "tensorboard").iterdir():
        tags |= {(event.step, one.tag) for event in summary_iterator(str(path)) for one in event.summary.value}
    assert (6, "evaluation/fcd") in tags


def test_a_worker_that_is_lost_ends_the_evaluation_in_one_line(
    run_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Already where workers speak to each other for the first time."""

    def fail(*arguments: object) -> None:
        raise tf.errors.InternalError(None, None, "NCCL: unhandled system error")

    monkeypatch.setattr(evaluate_module, "num_workers", lambda strategy: 2)
    monkeypatch.setattr(evaluate_module, "on_chief", fail)
    assert evaluate.run([f"--run_dir={run_dir}"]) == 75
    printed = capsys.readouterr().err
    assert "NCCL: unhandled system error" in printed and "Traceback" not in printed


@pytest.mark.parametrize(("precision", "labels"), [("mixed_bfloat16", "uniform"), ("float32", "reference")])
def test_a_checkpoint_has_one_value(
    precision: str, labels: str, references: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While training and afterwards, in any precision, with labels drawn in the run's own way."""
    flags = [*SMALL, *MEASURES, "--metrics=fcd,label_agreement", "--evaluate_every=2", "--num_steps=2"]
    flags += [f"--precision={precision}", f"--evaluation_labels={labels}", f"--reference_dir={references}"]
    assert train.run([*flags, f"--run_dir={tmp_path / 'run'}"]) == 0
    assert evaluate.run([f"--run_dir={tmp_path / 'run'}", "--num_samples=300", f"--reference_dir={references}"]) == 0
    during, afterwards = lines_of(tmp_path / "run")
    assert during == afterwards
    assert (during["precision"], during["evaluation_labels"]) == ("float32", labels)
    assert f"labels {labels}" in capsys.readouterr().out


def test_an_unbalanced_reference(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is warned of once, while training and afterwards, where labels are drawn uniformly."""
    folder = tmp_path / "images"
    write_images(folder, 60)
    for path in folder.glob("[2-9]/*"):
        path.rename(folder / "0" / path.name)
    for label in range(2, 10):
        (folder / str(label)).rmdir()
    flags = ["--dataset=folder", f"--data_dir={folder}", *SMALL[1:], "--extractor=fashion_mnist", "--num_samples=20"]
    flags += [f"--run_dir={tmp_path / 'run'}", f"--reference_dir={tmp_path / 'references'}", "--metrics=fcd"]
    flags += ["--evaluate_every=1", "--num_steps=2"]
    again = [f"--run_dir={tmp_path / 'run'}", f"--reference_dir={tmp_path / 'references'}", "--num_samples=20"]
    for command in (train.run, flags), (evaluate.run, again):
        assert command[0](command[1]) == 0
        assert capsys.readouterr().out.count("--evaluation_labels=reference") == 1
    assert evaluate.run([*again, "--evaluation_labels=reference"]) == 0
    assert "--evaluation_labels" not in capsys.readouterr().out
    last = lines_of(tmp_path / "run")[-1]
    assert last["evaluation_labels"] == "reference" and last["fcd"] != lines_of(tmp_path / "run")[-2]["fcd"]


def test_other_checkpoints_and_weights(run_dir: pathlib.Path, references: str, tmp_path: pathlib.Path) -> None:
    found = {}
    best = json.loads((run_dir / "checkpoints" / "best" / "best.json").read_text())["step"]
    for name, flag in {"4": "--checkpoint=4", "best": "--checkpoint=best", "live": "--generator_weights=live"}.items():
        output = tmp_path / name
        flags = [f"--run_dir={run_dir}", flag, "--num_samples=60", f"--reference_dir={references}"]
        assert evaluate.run([*flags, f"--output={output}"]) == 0
        found[name] = json.loads(output.read_text())
    assert [found[name]["step"] for name in ("4", "best", "live")] == [4, best, 6]
    assert found["live"]["generator_weights"] == "live"


@pytest.mark.parametrize("while_training", [True, False])
@pytest.mark.parametrize(("reference", "split"), [("", "train"), ("fashion_mnist_10k:reference", "reference")])
def test_a_run_is_compared_with_its_training_images_unless_others_are_named(
    reference: str, split: str, while_training: bool, run_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, source: Source, *others: object) -> None:
        raise LookupError(name, source.num_examples)

    monkeypatch.setattr(evaluate_module, "find_reference", found)
    evaluation = EvaluationConfig(("fcd",), "fashion_mnist", reference=reference)
    config = dataclasses.replace(parse_config([f"--flagfile={run_dir / 'flags.cfg'}"]), evaluation=evaluation)
    with pytest.raises(LookupError) as caught:
        if while_training:
            source = open_source(config.data, resolution=32, image_channels=1)
            training_evaluation(config, source, one_device())
        else:
            evaluated(
                EvaluateOptions(run_dir=str(run_dir), strategy="one_device"), EvaluationConfig(), lambda path: config
            )
    assert caught.value.args == (f"fashion_mnist_10k:{split}", len(load_arrays(split)[0]))


def test_of_a_folder_and_of_real_data(references: str, tmp_path: pathlib.Path) -> None:
    """The same pictures by file and by name of the data set: the same numbers."""
    folder = write_images(tmp_path / "images", 2000)
    results = []
    for images in (folder, "fashion_mnist_10k:reference"):
        output = tmp_path / "result.json"
        flags = [f"--images={images}", "--extractor=fashion_mnist", f"--reference_dir={references}"]
        flags += ["--reference=fashion_mnist_10k:reference", "--metrics=fcd,label_agreement", f"--output={output}"]
        assert evaluate.run(flags) == 0
        results.append(json.loads(output.read_text()))
    assert abs(results[0]["fcd"]) < 1e-3 and results[0]["images"] == folder
    np.testing.assert_allclose(results[0]["fcd"], results[1]["fcd"], atol=1e-4)
    assert results[0]["label_agreement"] == results[1]["label_agreement"] > 0.9


def test_inception_end_to_end(tmp_path: pathlib.Path) -> None:
    """A module of the right signature in the place of TF-GAN's; images of one folder against another's."""
    module = tmp_path / "module"
    save_extractor(module)
    one, other = (write_images(tmp_path / name, count) for name, count in (("one", 20), ("other", 30)))
    output = tmp_path / "result.json"
    flags = [f"--images={one}", f"--reference={other}", "--extractor=inception", f"--inception_dir={module}"]
    flags += ["--metrics=fid,is,kid", "--evaluation_batch_size=10", f"--output={output}"]
    assert evaluate.run([*flags, f"--reference_dir={tmp_path / 'references'}"]) == 0
    record = json.loads(output.read_text())
    assert np.isfinite([record[name] for name in ("fid", "is", "kid")]).all() and 1.0 <= record["is"] <= 1008.0
    assert record["preprocessing"].endswith("to 299x299")
    (kept,) = (tmp_path / "references").iterdir()
    assert evaluate.run([*flags[:1], f"--reference={kept}", *flags[2:]]) == 0
    assert json.loads(output.read_text())["fid"] == record["fid"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected either --run_dir or --images, received neither"),
        (["--run_dir=a", "--images=b"], "expected either --run_dir or --images, received both"),
        (["--run_dir=nowhere"], "run_dir: expected the folder of a run, with flags.cfg in it, received nowhere"),
        (["--images=nowhere", "--extractor=fashion_mnist", "--metrics=fcd"], "images: expected a "),
        (["--images=nowhere", "--metrics=fjd"], "metrics: expected one of fid, is, "),
        (["--images=a", "--extractor=nowhere"], "extractor: expected inception, fashion_mnist, "),
        (["--images=a", "--output=/proc/nowhere/result.json"], "output: cannot write /proc/nowhere/result.json "),
        (["--images=fashion_mnist_10k:tset", "--extractor=fashion_mnist"], "images=fashion_mnist_10k:tset: split: "),
        (
            ["--images=a", "--metrics=fcd"],
            "metrics: expected fid, kid and is for the extractor ",
        ),
        (["--images=a", "--extractor=fashion_mnist", "--evaluate_every=5"], "evaluate_every: --evaluate_every=5 "),
        (["--images=a", "--evaluation_labels=uniform"], "evaluation_labels: --evaluation_labels=uniform "),
        (["--images=a", "--checkpoint=best"], "checkpoint: --checkpoint=best "),
        (["--run_dir=a", "--checkpoint=newest"], "checkpoint: expected latest, best or a step, received 'newest'"),
    ],
)
def test_mistakes(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, *flags).startswith(message)


def test_mistakes_with_files(tmp_path: pathlib.Path, references: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_images(tmp_path / "images", 12)
    common = [f"--images={folder}", "--extractor=fashion_mnist", f"--output={tmp_path / 'result.json'}"]
    few = error_of(capsys, *common, "--metrics=classifier_score10k")
    assert few == f"images: expected at least 10000 for classifier_score10k, received 12 in {folder}"
    assert error_of(capsys, *common, "--metrics=fcd").startswith("reference: expected DATASET:SPLIT, a folder of ")
    Image.new("L", (28, 28)).save(tmp_path / "images" / "9" / "small.png")
    mixed = error_of(capsys, *common, "--metrics=classifier_score")
    assert mixed.startswith("images: expected square images, all of one size, received 32 x 32 pixels (")
    (tmp_path / "images" / "9" / "small.png").write_text("no image")
    unreadable = error_of(capsys, *common, "--metrics=classifier_score")
    assert unreadable.startswith("images: expected readable images, received ") and "small.png" in unreadable
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_a_checkpoint_of_another_configuration(
    run_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "run"
    other.mkdir()
    flags = (run_dir / "flags.cfg").read_text().replace("--base_channels=2", "--base_channels=4")
    (other / "flags.cfg").write_text(flags)
    (other / "checkpoints").symlink_to(run_dir / "checkpoints")
    message = error_of(capsys, f"--run_dir={other}", "--metrics=label_agreement", "--num_samples=10")
    assert message.startswith("checkpoint: expected one of this configuration, received ")
    assert not (other / "metrics.jsonl").exists()


def test_what_is_left_empty() -> None:
    """Comes from the run, and then from the defaults; a run's metrics only with its extractor."""
    assert resolve(EvaluationConfig()).metrics == ("fid50k", "is50k")
    assert resolve(EvaluationConfig()).extractor == "inception"
    packaged = resolve(EvaluationConfig(extractor="fashion_mnist")).metrics
    assert packaged == ("fcd10k", "classifier_score10k", "label_agreement10k")
    assert resolve(EvaluationConfig(extractor="efficientnet_lite0")).metrics == ("fcd10k", "classifier_score10k")
    own = EvaluationConfig(
        ("fcd",), "folder", reference="a:b", inception_dir="c", extractor_features="d", extractor_logits="e"
    )
    found = resolve(EvaluationConfig(), own)
    assert (found.metrics, found.extractor, found.reference, found.inception_dir) == (("fcd",), "folder", "a:b", "c")
    assert (found.extractor_features, found.extractor_logits) == ("d", "e")
    assert resolve(EvaluationConfig(("is",), reference="x.npz"), own).reference == "x.npz"
    assert resolve(EvaluationConfig(("is",)), own).metrics == ("is",)
    changed = resolve(EvaluationConfig(extractor="fashion_mnist"), own)
    assert (changed.metrics, changed.extractor_features) == (packaged, "pool_3")


@pytest.fixture
def evaluated_run(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the run that a test may damage."""
    return shutil.copytree(run_dir, tmp_path / "run", symlinks=True)


def test_places_are_checked_before_the_extractor_is_opened(
    evaluated_run: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run directory that cannot be written is no reason to refuse where --output takes the record."""
    output = evaluated_run.with_name("result.json")
    (evaluated_run / "metrics.jsonl").unlink()
    (evaluated_run / "metrics.jsonl").mkdir()
    flags = [f"--run_dir={evaluated_run}", "--metrics=label_agreement,class_agreement", "--num_samples=10"]
    assert evaluate.run([*flags, f"--output={output}"]) == 0
    shown = capsys.readouterr().out
    assert f"({json.loads(output.read_text())['worst_class']['class_agreement']})" in shown
    assert shown.count("warning: ") == 1 and "run_dir" in shown and "label_agreement" in json.loads(output.read_text())
    monkeypatch.setattr(evaluate_module, "open_extractor", None)
    assert "--output" in error_of(capsys, *flags)
    assert str(output / "below") in error_of(capsys, *flags, f"--output={output / 'below'}")


@pytest.mark.parametrize("failing", ["write_atomically", "append_line", "_write_scalars"])
def test_the_numbers_are_shown_where_they_cannot_be_written_any_more(
    failing: str,
    evaluated_run: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What fails does not keep the rest from being written."""
    output, before = evaluated_run.with_name("result.json"), len(lines_of(evaluated_run))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_outputs, failing, full)
    flags = [f"--run_dir={evaluated_run}", "--metrics=label_agreement", "--num_samples=10", f"--output={output}"]
    assert evaluate.run(flags) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "No space left on device" in shown.err
    assert "label_agreement" in json.loads(shown.out.splitlines()[-1])
    assert output.exists() == (failing != "write_atomically")
    assert len(lines_of(evaluated_run)) == before + (failing != "append_line")


def test_training_refuses_metrics_that_it_could_not_compute(tmp_path: pathlib.Path, references: str) -> None:
    """Before its first step, and before it has written anything."""
    refused = [["--metrics=fcd", "--num_samples=1"], ["--metrics=label_agreement", "--conditioning=none"]]
    refused.append(["--metrics=fcd", "--evaluation_labels=reference", "--conditioning=none"])
    for flags in refused:
        run_dir = tmp_path / "run"
        common = [*SMALL, *MEASURES, *flags, "--evaluate_every=2", "--num_steps=4", f"--reference_dir={references}"]
        assert train.run([*common, f"--run_dir={run_dir}"]) == 2
        assert not run_dir.exists()
