"""Tests of the table of the setup, and of texts without paths of the machine."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from sagan_tf.config import Config, EvaluationConfig, ModelConfig, TrainingConfig
from tests.tools.ablations.toy_outcomes import FCD, write_cell
from tools.ablations.base_record import read_experiment_record
from tools.ablations.networks_table import make_networks_table
from tools.ablations.options import AblationOptions
from tools.ablations.outcomes import Outcome, read_outcomes
from tools.ablations.plan import Plan
from tools.ablations.portable import (
    format_portable_commands,
    format_study_command,
    hide_paths,
    hide_paths_in_message,
)
from tools.ablations.setup_table import find_unequal_replicas, make_options_table, make_setup_table
from tools.ablations.studies import Study
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.settings import Setting


@pytest.fixture
def outcomes(tmp_path: pathlib.Path) -> list[Outcome]:
    """Return the outcomes of two cells that ended on two days; the second has two devices."""
    cells = [write_cell(tmp_path, "plain", seed, FCD["plain"][seed]) for seed in (0, 1)]
    for cell in cells:
        devices = ["/device:GPU:0", "/device:GPU:1"][: cell.seed + 1]
        startup = {"data": {"num_examples": 6000, "num_classes": 1}, "devices": devices}
        startup["parameters"] = {"generator": 12345, "discriminator": 678}
        (cell.run_dir / "startup.json").write_text(json.dumps(startup))
        (cell.run_dir / "versions.json").write_text('{"sagan-tf": "0.1.0", "keras": "3.15.1"}')
    times = {"ended": "2026-01-02T23:59:59+00:00", "git_revision": "abc"}, {"ended": "2026-01-01T00:00:00+00:00"}
    return [
        dataclasses.replace(outcome, record=dict(outcome.record) | added)
        for outcome, added in zip(read_outcomes(cells, "fcd10k"), times, strict=True)
    ]


def make_plan(directory: pathlib.Path, outcomes: list[Outcome], config: Config) -> Plan:
    """Return the plan of the cells of outcomes, and of a cell that has not been started."""
    other = Cell(Setting("other", ()), 0, Limit(30, 0.0), (), directory, config)
    cells = (*(outcome.cell for outcome in outcomes), other)
    return Plan(Study("s", "", ()), f"{directory}/base.cfg", Config(), cells, "fcd10k", directory, (), "python x.py")


def test_the_setup_has_what_is_common_and_the_options_what_differs(outcomes, tmp_path):
    training = TrainingConfig(generator_learning_rate=1e-3, ema_decay=0.0)
    evaluation = EvaluationConfig(extractor="/home/me/network")
    plan = make_plan(tmp_path, outcomes, Config(training=training, evaluation=evaluation))
    table = dict(make_setup_table(plan, outcomes))
    assert table["study"] == "s" and table["command"] == "`python x.py`" and table["commit"] == "abc"
    assert table["base"] == "`base.cfg`" and table["steps"] == "30" and table["seeds"] == "0 to 1"
    assert table["data"] == "imagenet2012, train" and table["images"] == "128 px, 3 channels"
    assert table["size of the data"] == "6,000 images, 1 class"
    assert table["attention"] == "self_attention at 64 px in the generator and at 64 px in the discriminator"
    # The architecture of 128 px begins with 16 times the base channels (Zhang et al. 2019).
    assert table["widths"].startswith("generator 1024, 1024, ") and table["Adam's decays"] == "0, 0.999"
    assert not {"learning rates", "weights that are evaluated", "extractor"} & table.keys()
    assert table["versions"] == "sagan-tf 0.1.0, keras 3.15.1" and table["devices"] == "GPU:0 / GPU:0, GPU:1"
    assert table["cells ended"] == "2026-01-01 to 2026-01-02"
    heading, *options = make_options_table(plan)
    assert heading == ["option", "plain", "other"] and len(options) == 3
    assert ["`generator_learning_rate`", "`0.0001`", "`0.001`"] in options
    assert ["`extractor`", "(empty)", "`EXTRACTOR`"] in options


@pytest.mark.parametrize(("form", "shown"), [("pooled", "pooled"), ("paper", None)])
def test_the_form_of_attention_is_that_of_the_settings_that_have_attention(form: str, shown: str | None, tmp_path):
    models = [
        ModelConfig(attention_form="pooled", attention_resolutions=(64,)),
        ModelConfig(attention_form=form, attention_resolutions=(32,)),
        ModelConfig(attention_form="full", attention_resolutions=()),
        ModelConfig(attention_form="full", attention_block="residual", attention_resolutions=(32,)),
    ]
    cells = tuple(
        Cell(Setting(str(index), ()), 0, Limit(30, 0.0), (), tmp_path, Config(model=model))
        for index, model in enumerate(models)
    )
    plan = Plan(Study("s", "", ()), "base.cfg", Config(), cells, "fcd10k", tmp_path, (), "")
    table = dict(make_setup_table(plan, []))
    assert table.get("form of attention") == shown and "attention" not in table


def test_options_of_many_settings_are_grouped_by_value(outcomes, tmp_path):
    plan = make_plan(tmp_path, outcomes, Config(training=TrainingConfig(loss="wasserstein")))
    first, other = plan.cells[0], plan.cells[-1]
    more = tuple(dataclasses.replace(first, setting=Setting(name, ())) for name in "abc")
    plan = dataclasses.replace(plan, cells=(first, *more, other))
    assert make_options_table(plan) == [["option", "values"], ["`loss`", "`wasserstein`: other; `hinge`: the others"]]
    assert "loss" not in dict(make_setup_table(plan, outcomes))


def test_parts_of_an_experiment_record_are_read(tmp_path):
    (tmp_path / "base.cfg").write_text("# A base.\n#\n# Differs:    one,\n#             two.\n# Data:  x\n--seed=1\n")
    assert read_experiment_record(tmp_path / "base.cfg") == {"Differs": "one, two.", "Data": "x"}
    (tmp_path / "base.cfg").write_text("--seed=1\n")
    assert read_experiment_record(tmp_path / "base.cfg") == {}


def test_the_size_of_the_data_is_that_of_each_setting(outcomes, tmp_path):
    plan = make_plan(tmp_path, outcomes, Config())
    other = dataclasses.replace(outcomes[0], cell=plan.cells[-1])
    other.cell.run_dir.mkdir(parents=True)
    (other.cell.run_dir / "startup.json").write_text('{"data": {"num_examples": 70, "num_classes": 2}}')
    table = dict(make_setup_table(plan, [*outcomes, other]))
    assert table["size of the data"] == "6,000 images, 1 class; other: 70 images, 2 classes"


def test_networks_have_parameters_and_the_kernels_of_residual_blocks(outcomes, tmp_path):
    """At 32 of 128 px, the generator has 4 and the discriminator 2 times its base channels."""
    model = ModelConfig(
        attention_block="residual", attention_resolutions=(32,), base_channels=16, discriminator_base_channels=64
    )
    heading, plain, other = make_networks_table(make_plan(tmp_path, outcomes, Config(model=model)), outcomes)
    assert plain == ["plain", "12,345", "678", "-"] and len(heading) == 4
    assert other == ["other", "-", "-", "generator: 3x3 64→8, 1x1 8→64; discriminator: 3x3 128→16, 1x1 16→128"]
    assert len(make_networks_table(make_plan(tmp_path, outcomes, Config()), outcomes)[0]) == 3


def test_cells_on_different_numbers_of_replicas_are_named_over_all_settings(outcomes, tmp_path):
    cells = [write_cell(tmp_path, "wide", seed, FCD["wide"][seed]) for seed in (0, 1)]
    outcomes += read_outcomes(cells, "fcd10k")

    def find(*replicas: int | None) -> list[str]:
        return find_unequal_replicas(
            [dataclasses.replace(o, record={"replicas": r}) for o, r in zip(outcomes, replicas, strict=True)]
        )

    assert find(2, 2, None, 2) == find(None, None, None, None) == []  # although the devices differ
    (note,) = find(1, 1, 2, 1)
    assert "2 replicas: wide, seed 0. " in note and note.endswith(": 1 replica")


def test_a_portable_command_has_no_paths_of_the_machine(tmp_path):
    flags = (f"--flagfile={tmp_path}/b.cfg", "--data_dir=gs://bucket", f"--held_out=folder:{tmp_path}", "--augment=a,b")
    setting = Setting("plain", ("--tf32", "--reference", "~/my mine", "-deterministic", "--extractor=/a"))
    cell = Cell(setting, 1, Limit(30, 0.0), flags, tmp_path, Config())
    train, evaluate = format_portable_commands(cell)
    command = train.split()
    assert command[:5] == ["python", "-m", "sagan_tf.train", "--flagfile=b.cfg", "--data_dir=DATA"]
    assert command[5:] == [
        "--held_out=folder:HELD_OUT", "--augment=a,b", "--tf32", "--reference=REFERENCE", "-deterministic",
        "--extractor=EXTRACTOR", "--seed=1", "--run_dir=plain/seed_1", "--num_steps=30",
    ]  # fmt: skip
    output = "--output=plain/seed_1.evaluation.json"
    assert evaluate == f"python -m sagan_tf.evaluate --run_dir=plain/seed_1 --seed=1 {output}"
    assert hide_paths("tfrecord:test", "own") == "tfrecord:test" and hide_paths("/a/b,c/d", "own") == "own,c/d"
    assert hide_paths("gs://a/b,~/c,folder:/d", "own") == "gs://a/b,own,folder:own"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            "expected a file, received '/my home/x' (remove /s/plain/seed_0)",
            "expected a file, received 'PATH' (remove plain/seed_0)",
        ),
        (
            "/a/b.cfg, line 3: --base=~/c and folder:/d; see ~me/e",
            "PATH, line 3: --base=PATH and folder:PATH; see PATH",
        ),
        ("/home/J Smith/net/abc is a file in /x", "PATH is a file in PATH"),
        ("gs://a/b is 1/2 of configs/c.cfg / ~5 s", "gs://a/b is 1/2 of configs/c.cfg / ~5 s"),
    ],
)
def test_a_message_has_no_paths_of_the_machine(message: str, text: str):
    assert hide_paths_in_message(message, pathlib.Path("/s")) == text


def test_the_command_of_a_study_has_what_differs_from_the_defaults():
    options = AblationOptions("/home/me/mine.txt", settings=("a", "b"), seeds=5, run_dir="/out", devices=("cpu",))
    command = "python tools/ablation.py --study=mine.txt --base=b.cfg --data_dir=DATA --settings=a,b --seeds=5"
    assert format_study_command(options, "/home/me/b.cfg", has_data_dir=True) == command
    command = "python tools/ablation.py --study=attention --base=configs/b.cfg"
    assert format_study_command(AblationOptions("attention"), "configs/b.cfg", has_data_dir=False) == command
