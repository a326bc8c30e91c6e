"""Results from the archive of the records of a study, on a machine without its runs."""

from __future__ import annotations

import csv
import json
import pathlib
import zipfile
from typing import Any

import pytest

from sagan_tf.training.health.signs import DISTANCE_RATIO
from tests.tools.fake_processes import FakeProcesses
from tools import ablation
from tools.ablations import report
from tools.ablations.study_images import StudyImages
from tools.repository import ROOT

RESULTS = ("results.md", "results.csv", "differences.csv", "last_step.svg", "curves.svg", "gamma.svg", "records.zip")


@pytest.fixture
def flags(tmp_path: pathlib.Path) -> list[str]:
    """Return the flags of a study of two settings with two seeds, on data in a directory of this machine."""
    wide = f"wide --base_channels 32 --reference {tmp_path}/reference"
    (tmp_path / "study.txt").write_text(f"# Two widths.\nplain\n{wide}\n")
    flags = [f"--study={tmp_path / 'study.txt'}", "--seeds=2", "--steps=300", "--evaluate_every=100"]
    return [*flags, "--base=configs/ablations/fashion_mnist_32.cfg"]


@pytest.fixture
def study(tmp_path: pathlib.Path, processes: FakeProcesses, flags, monkeypatch) -> pathlib.Path:
    """Return the directory of a study with an image, of which a run died after it had been resumed."""
    directory = tmp_path / "runs"
    processes.statuses["wide/seed_1"] = [2]
    processes.error = f"on_unhealthy: dead discriminator at step 300: see {tmp_path}/x and {directory}/wide"
    monkeypatch.setattr(report, "write_images", lambda *_: StudyImages({"samples.png": ""}, ["wide: a reason"]))
    command = [*flags, f"--run_dir={directory}"]
    assert ablation.run([*command, f"--data_dir={tmp_path / 'data'}"]) == 0
    died, alive = directory / "wide" / "seed_1", directory / "plain" / "seed_1"
    died.mkdir()
    lines = [json.loads(line) for line in (alive / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line |= {"gamma/generator/a": 0.25, "sigma/a": 1.0, "real_logits": 0.125} if line["kind"] == "train" else {}
        line |= {"extractor": f"{tmp_path}/John Smith/net"} if line["kind"] == "evaluation" else {}
        line |= {DISTANCE_RATIO: 0.25} if line["kind"] == "health" else {}
    live = {"kind": "evaluation", "step": 100, "generator_weights": "live", "num_samples": {"fcd10k": 1}, "fcd10k": 0.1}
    lines.append(live)
    (died / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with died.with_suffix(".log").open("a") as log:
        log.write("resumed at step 200\n")
    startup: dict[str, Any] = {
        "data": {"name": f"{tmp_path}/data", "num_examples": 60000, "num_classes": 10},
        "devices": ["/a:CPU:0"],
    }
    startup |= {"replicas": 2, "parameters": {"generator": 12}, "configuration": {"data_dir": f"{tmp_path}/data"}}
    (alive / "startup.json").write_text(json.dumps(startup))
    (alive / "versions.json").write_text('{"keras": "3.15.1"}')
    (directory / "samples.png").write_bytes(b"image")
    assert ablation.run([*command, "--collect"]) == 0
    return directory


def unpack(study: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Unpack the archive of a study, and hide paths in the files of the study and of the base as for publishing."""
    with zipfile.ZipFile(study / "records.zip") as archive:
        archive.extractall(directory)
    for path in study.parent.glob("*.[ct][fx][gt]"):
        text = path.read_text().replace(f"{study.parent}/reference", "/REFERENCE")
        path.write_text(text.replace(f"{study.parent}/data", "/DATA_DIR"))
    return directory


def test_results_from_the_archive_are_those_of_the_runs(study: pathlib.Path, flags, tmp_path, monkeypatch, capsys):
    other = unpack(study, tmp_path / "other")
    (other / "samples.png").write_bytes(b"image")
    monkeypatch.setattr(report, "write_images", lambda *_: pytest.fail("there are no checkpoints"))
    capsys.readouterr()
    assert ablation.run([*flags, f"--run_dir={other}", "--collect"]) == 0
    assert capsys.readouterr().err == ""
    for name in RESULTS:
        assert (other / name).read_bytes() == (study / name).read_bytes(), name
    rows = csv.DictReader((other / "results.csv").read_text().splitlines())
    assert [row["similar_samples"] for row in rows] == ["", "", "", "yes"]
    page = (other / "results.md").read_text()
    assert str(tmp_path) not in page and "--base_channels=32 --reference=REFERENCE" in page
    assert "samples.png" in page and "- wide: a reason" in page and "60,000 images, 10 classes" in page
    assert (other / "samples.png").read_bytes() == b"image"
    (other / "samples.png").unlink()
    assert ablation.run([*flags, f"--run_dir={other}", "--collect"]) == 0
    page = (other / "results.md").read_text()
    assert "samples.png" not in page and "- wide: a reason" in page


def test_a_later_evaluation_changes_no_result(study: pathlib.Path, flags):
    """`sagan_tf.evaluate` appends to the log of the run, for example precision of the best checkpoint."""
    before = {name: (study / name).read_bytes() for name in RESULTS}
    for changes in ({"seed": 7}, {"num_samples": {"is10k": 10_000}, "is10k": 3.0}):
        log = study / "plain" / "seed_0" / "metrics.jsonl"
        evaluation = next(
            line for line in map(json.loads, log.read_text().splitlines()) if line["kind"] == "evaluation"
        )
        with log.open("a") as file:
            file.write(json.dumps(evaluation | {"fcd10k": 0.01, **changes}) + "\n")
    assert ablation.run([*flags, f"--run_dir={study}", "--collect"]) == 0
    assert {name: (study / name).read_bytes() for name in RESULTS} == before


def test_a_damaged_list_of_images_is_an_error_before_anything_is_written(study, flags, tmp_path, capsys):
    other = unpack(study, tmp_path / "other")
    names = '{"names": {"%s": ""}, "notes": []}'
    for content in ("[]", "{", '{"old": 1}', names % "../x.png", names % ".", '{"names": {}, "notes": [1]}'):
        (other / "images.json").write_text(content)
        assert ablation.run([*flags, f"--run_dir={other}", "--collect"]) == 2
        error = capsys.readouterr().err
        assert "images.json" in error and "Traceback" not in error and not (other / "results.csv").exists(), content


def test_the_archive_of_a_study_without_any_image_keeps_the_reasons(study, flags, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "write_images", lambda *_: StudyImages({}, ["plain: a reason"]))
    assert ablation.run([*flags, f"--run_dir={study}", "--collect"]) == 0
    other = unpack(study, tmp_path / "other")
    monkeypatch.setattr(report, "write_images", lambda *_: pytest.fail("there are no checkpoints"))
    assert ablation.run([*flags, f"--run_dir={other}", "--collect"]) == 0
    assert "- plain: a reason" in (other / "results.md").read_text()
    # With runs in place of records, the reasons may have changed.
    (other / "plain" / "seed_0" / "flags.cfg").touch()
    monkeypatch.setattr(report, "write_images", lambda *_: StudyImages({}, ["plain: another reason"]))
    assert ablation.run([*flags, f"--run_dir={other}", "--collect"]) == 0
    assert "- plain: another reason" in (other / "results.md").read_text()


def test_the_archive_has_no_paths_of_the_machine_and_only_selected_values(study: pathlib.Path, tmp_path):
    other = unpack(study, tmp_path / "other")
    files = {path.relative_to(other).as_posix(): path.read_text() for path in other.rglob("*") if path.is_file()}
    cells = [f"{setting}/seed_{seed}" for setting in ("plain", "wide") for seed in (0, 1)]
    expected = {"images.json", "plain/seed_1/versions.json", "wide/seed_1.log"}
    expected |= {f"{cell}{end}" for cell in cells for end in (".json", "/metrics.jsonl", "/startup.json")}
    assert set(files) == expected - {"wide/seed_1/startup.json"}
    text = "".join(files.values())
    assert not any(hidden in text for hidden in (str(tmp_path), "John", "Smith", "sigma/", "extractor/"))
    assert text.count('"real_logits": 0.125') == text.count('"gamma/generator/a"') > 0
    assert "see PATH and wide" in files["wide/seed_1.json"] and files["wide/seed_1.log"] == "resumed at step 200\n"


@pytest.mark.parametrize("data_dir", ["relative/data", "{}/data"])
def test_a_base_that_names_its_data_gives_the_same_page(data_dir: str, processes, flags, tmp_path, monkeypatch):
    base = f"--flagfile={ROOT}/configs/ablations/fashion_mnist_32.cfg\n--data_dir={data_dir.format(tmp_path)}\n"
    (tmp_path / "base.cfg").write_text(base)
    monkeypatch.setattr(report, "write_images", lambda *_: StudyImages({}, []))
    command = [*flags, f"--base={tmp_path / 'base.cfg'}"]
    assert ablation.run([*command, f"--run_dir={tmp_path / 'runs'}"]) == 0
    other = unpack(tmp_path / "runs", tmp_path / "other")
    assert ablation.run([*command, f"--run_dir={other}", "--collect"]) == 0
    pages = [(directory / "results.md").read_text() for directory in (tmp_path / "runs", other)]
    assert pages[0] == pages[1] and str(tmp_path) not in pages[0] and "data_dir" not in pages[0]


def test_equal_records_give_equal_archives(study: pathlib.Path, flags):
    before = (study / "records.zip").read_bytes()
    for path in study.rglob("seed_*.json"):
        path.touch()
    assert ablation.run([*flags, f"--run_dir={study}", "--collect"]) == 0
    assert (study / "records.zip").read_bytes() == before
