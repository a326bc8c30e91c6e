"""Metrics that need held-out images, as a user calls them: records, tables, and errors of one line."""

import json
import logging
import shutil
import types
from typing import Any

import numpy as np
import pytest

from sagan_tf.evaluate import run as run_evaluate
from sagan_tf.evaluation import image_classifier, settings
from sagan_tf.evaluation.metrics import find_metrics
from sagan_tf.evaluation.real_images import compare_with_training_images, find_held_out_images, open_held_out
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractor import NO_EXTRACTOR
from sagan_tf.features.statistics import ImageSetStatistics
from sagan_tf.train import run as run_train
from tests.evaluation.test_evaluate import read_error, write_images
from tests.training.tiny import PLAINEST_FLAGS, RUN_FLAGS, one_device


@pytest.fixture(autouse=True)
def console():
    """Remove the command's log handler, which writes to the standard output of an earlier test."""
    logging.getLogger("sagan_tf").handlers = []


@pytest.fixture
def real_images(tmp_path):
    """Flags with directories of 200 training images and of 60 held-out images."""
    training, held_out = write_images(tmp_path / "training", 200, 0), write_images(tmp_path / "held_out", 60, 200)
    return [f"--reference={training}", f"--held_out={held_out}", f"--output={tmp_path / 'result.json'}"]


def test_copies_are_not_authentic_and_other_real_images_are(real_images, tmp_path):
    """The reference and the held-out images are kept."""
    flags = [
        *real_images,
        "--extractor=fashion_mnist",
        "--metrics=authenticity",
        f"--reference_dir={tmp_path / 'kept'}",
    ]
    records = []
    for name, first in (("copies", 0), ("other", 260)):
        assert run_evaluate([f"--images={write_images(tmp_path / name, 100, first)}", *flags]) == 0
        records.append(json.loads((tmp_path / "result.json").read_text()))
    copies, other = (record["authenticity"] for record in records)
    assert copies["authenticity"] == 0.0 and copies["near_copies"] == 1.0
    assert copies["held_out"] == other["held_out"] and abs(other["authenticity"] - other["held_out"]) < 0.2
    assert other["near_copies"] < 0.1
    assert records[0]["held_out"]["images"] == str(tmp_path / "held_out")
    assert records[0]["held_out"]["num_samples"] == 60 and len(list((tmp_path / "kept").iterdir())) == 2


METRIC = "classification_accuracy_score"


def test_the_record_of_classifiers_names_the_worst_class(real_images, tmp_path, capsys, monkeypatch):
    """The extractor is not opened, and images of two classes only are an error."""
    monkeypatch.setattr(image_classifier, "count_updates", lambda num_images: 2)
    monkeypatch.setattr(settings, "open_extractor", None)
    images, flags = tmp_path / "images", [*real_images, f"--metrics={METRIC}"]
    assert run_evaluate([f"--images={write_images(images, 230, 260)}", *flags]) == 0
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["extractor"] == "none" and record["reference"]["num_samples_used"] == {METRIC: 200}
    classes, worst_class = record["classes"], record["worst_class"][METRIC]
    row = classes["name"].index(worst_class)
    assert classes[f"{METRIC}/gan_train"][row] == pytest.approx(record[METRIC]["worst"], abs=1e-6)
    assert record[METRIC]["worst"] == pytest.approx(min(classes[f"{METRIC}/gan_train"]), abs=1e-6)
    printed = capsys.readouterr().out
    assert f"({worst_class})" in printed and f"  worst {METRIC}" in printed
    for label in range(2, 10):
        shutil.rmtree(images / str(label))
    assert METRIC in read_error(capsys, f"--images={images}", *flags)


@pytest.mark.slow
def test_real_images_are_useful_and_those_of_an_untrained_generator_are_not(real_images, tmp_path, monkeypatch):
    monkeypatch.setattr(image_classifier, "count_updates", lambda num_images: 25)
    run_dir, images = tmp_path / "run", write_images(tmp_path / "images", 200, 260)
    flags = [*RUN_FLAGS, *PLAINEST_FLAGS, "--split=reference", "--num_steps=1", f"--run_dir={run_dir}"]
    assert run_train(flags) == 0
    values = []
    for subject in ([f"--run_dir={run_dir}", "--num_samples=150"], [f"--images={images}"]):
        flags = [*subject, *real_images, "--reference=fashion_mnist_10k:reference", f"--metrics={METRIC}"]
        assert run_evaluate(flags) == 0
        values.append(json.loads((tmp_path / "result.json").read_text())[METRIC])
    # 150 real images and 25 updates are enough for most garments.
    assert values[0]["gan_train"] < 0.35 < 0.5 < min(values[0]["real"], values[1]["gan_train"])


def test_labels_of_held_out_images_are_those_of_the_order_of_the_reference(tmp_path):
    """Held-out images need not have every class. No extractor is used."""
    text = write_images(tmp_path, 60, 0)
    for label in set("0123456789") - {"3", "7"}:
        shutil.rmtree(tmp_path / label)
    counts = [len(list((tmp_path / label).iterdir())) for label in ("3", "7")]
    names = tuple(reversed("0123456789"))
    reference = Reference(Provenance("real", "f", 60, 32, 1, "none", "", names), ImageSetStatistics())
    metrics = find_metrics(["classification_accuracy_score"])
    source = open_held_out(metrics, text, data_dir="", resolution=32, image_channels=1)
    extraction = Extraction(NO_EXTRACTOR, one_device(), 16)
    found = find_held_out_images(text, source, extraction, "", metrics, reference)
    assert found is not None and found.statistics.images.shape == (sum(counts), 32, 32, 1)
    found_counts = np.bincount(found.statistics.image_labels, minlength=10)
    assert [found_counts[names.index(name)] for name in ("3", "7")] == counts
    assert open_held_out(find_metrics(["fid"]), "", data_dir="") is None


@pytest.mark.parametrize(
    ("flags", "option", "value"),
    [
        ("--metrics=authenticity --reference=TRAINING", "held_out", "authenticity"),
        ("--metrics=authenticity --held_out=HELD_OUT", "reference", "none"),
        ("--metrics=authenticity --reference=TRAINING --held_out=nowhere", "held_out", "nowhere"),
        ("--metrics=authenticity --reference=TRAINING --held_out=TRAINING", "held_out", "training"),
        ("--metrics=label_agreement --held_out=HELD_OUT", "held_out", "held_out"),
        ("--metrics=classification_accuracy_score --reference=kept.npz --held_out=HELD_OUT", "reference", "kept.npz"),
        ("--metrics=classification_accuracy_score1k --reference=TRAINING --held_out=HELD_OUT", "images", "1000"),
        ("--metrics=classification_accuracy_score --extractor=fashion_mnist", "extractor", "fashion_mnist"),
    ],
)
def test_errors_in_real_images(flags, option, value, tmp_path, monkeypatch, capsys):
    for name, first in (("training", 0), ("held_out", 30)):
        write_images(tmp_path / name, 30, first)
        flags = flags.replace(name.upper(), str(tmp_path / name))
    extractor = [] if "classification" in flags else ["--extractor=fashion_mnist"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    message = read_error(capsys, f"--images={tmp_path / 'training'}", *flags.split(), *extractor)
    assert message.startswith(option) and value in message
    assert not (tmp_path / "cache").exists()  # no reference has been computed


@pytest.mark.parametrize(("digest", "expected"), [("f", True), ("g", False), (None, False)])
def test_a_reference_other_than_the_training_images_is_recorded_with_a_warning(digest, expected, caplog):
    """Without the training images, names are compared."""
    reference = Reference(Provenance("real", "f", 60, 32, 1, "none", "", ()), ImageSetStatistics())
    source: Any = None if digest is None else types.SimpleNamespace(digest=lambda: digest)
    entry = compare_with_training_images(find_metrics(["authenticity"]), "mine", source, reference)
    assert entry["training_images"] == {"images": "mine", "are_reference": expected}
    assert ["mine" in message and "real" in message for message in caplog.messages] == [True] * (not expected)
    assert compare_with_training_images(find_metrics(["fid"]), "mine", None, reference) == {}


@pytest.mark.slow
def test_a_run_on_some_classes_is_compared_with_these_classes(tmp_path, capsys, monkeypatch):
    """Both image sets that the command names have ten classes, and the order of the run's classes is another one."""
    monkeypatch.setattr(image_classifier, "count_updates", lambda num_images: 2)
    part = ["--classes=Coat,Bag,Shirt", "--max_images_per_class=20", "--evaluate_every=1", "--num_samples=60"]
    held_out, result = "--held_out=fashion_mnist_10k:reference", f"--output={tmp_path / 'result.json'}"
    run_dir = f"--run_dir={tmp_path / 'run'}"
    flags = [*RUN_FLAGS, *PLAINEST_FLAGS, *part, held_out, f"--metrics={METRIC}", "--num_steps=1", "--health_every=0"]
    assert run_train([*flags, run_dir]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (record,) = [line for line in lines if line["kind"] == "evaluation"]
    assert (record["held_out"]["num_samples"], record["reference"]["num_samples"]) == (600, 60)
    assert record["classes"]["name"] == ["Coat", "Bag", "Shirt"]
    flags = [run_dir, "--reference=fashion_mnist_10k:train", f"--metrics={METRIC}", "--num_samples=60", result]
    assert run_evaluate(flags) == 0
    record = json.loads((tmp_path / "result.json").read_text())
    assert (record["held_out"]["num_samples"], record["reference"]["num_samples"]) == (600, 3000)
    flags.remove("--reference=fashion_mnist_10k:train")
    message = read_error(capsys, *flags, "--held_out=fashion_mnist_10k:train")
    assert message.startswith("held_out") and "fashion_mnist_10k:train" in message
