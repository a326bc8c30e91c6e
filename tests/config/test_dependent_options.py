"""Tests that every command rejects a flag that has no effect, for every row of the tables."""

import dataclasses
import pathlib
import re
import types
from typing import Any

import pytest

from sagan_tf.cli.flags import Flags
from sagan_tf.config import OPTION_GROUPS, Config, EvaluationConfig
from sagan_tf.config.dependent_options import (
    CLIENT,
    EVALUATE,
    EXPORT,
    PREPARE_IMAGENET,
    SAMPLE,
    TRAIN,
    check_dependent_fields,
)
from sagan_tf.config.dependent_options.dependency import Dependency
from sagan_tf.errors import UserError
from sagan_tf.evaluation.metrics import METRICS, find_metrics, has_reference_metric
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.settings import uses_extractor
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.serving.options import ClientOptions
from tools.prepare_imagenet import PreparationOptions

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").rglob("*.cfg"))


def train(*argv: str) -> Config:
    (config,) = Flags(Config).parse(argv)
    facts = {"needs_real_images": config.evaluation.needs_real_images}
    check_dependent_fields(TRAIN, *(getattr(config, field.name) for field in dataclasses.fields(config)), facts=facts)
    return config


def evaluate(*argv: str) -> None:
    options, evaluation = Flags(EvaluateOptions, EvaluationConfig).parse(argv)
    facts = {
        "is_directory": ":" not in options.images,
        "needs_real_images": evaluation.needs_real_images,
        "resolved_metrics": evaluation.metrics,
        "resolved_extractor": evaluation.extractor or "inception",
        "resolved_reference": evaluation.reference or ("file.npz" if options.run_dir == "with_reference" else ""),
        "resolved_held_out": options.held_out,
        "uses_extractor": uses_extractor(find_metrics(evaluation.metrics or ("fid",))),
        "has_classes": options.run_dir != "without_classes",
    }
    check_dependent_fields(EVALUATE, options, evaluation, facts=facts)


def sample(*argv: str) -> None:
    what = () if any(flag.startswith("--saved_model") for flag in argv) else ("--run_dir=r",)
    Flags(SampleOptions).parse(("--output=out", *what, *argv))


def export(*argv: str) -> None:
    Flags(ExportOptions).parse(("--run_dir=run", *argv))


def client(*argv: str) -> None:
    Flags(ClientOptions).parse(("--server=localhost:1", *argv))


TABLES = {train: TRAIN, evaluate: EVALUATE, sample: SAMPLE, export: EXPORT, client: CLIENT}
COMMANDS: dict[str, Any] = {command.__name__: command for command in TABLES}
OPTIONS: dict[tuple[Dependency, ...], tuple[Any, ...]] = {
    TRAIN: tuple(OPTION_GROUPS.values()),
    EVALUATE: (EvaluateOptions, EvaluationConfig),
    SAMPLE: (SampleOptions,),
    EXPORT: (ExportOptions,),
    PREPARE_IMAGENET: (PreparationOptions,),
}
SIMPLE_CONDITION = re.compile(r"(?:an? )?--(\w+)(=| other than | above | below )(\w+(?: or \w+)*)|--(\w+)")
"""Conditions on the value of one option, such as `--mode=images or nearest`. `CASES` has the other conditions."""
SIMPLE = [
    (dependency, classes, match.groups())
    for table, classes in OPTIONS.items()
    for dependency in table
    if (match := SIMPLE_CONDITION.fullmatch(dependency.condition))
]


def find_values(relation: str, words: str, choices: tuple[str, ...] | None) -> tuple[list[Any], list[Any]]:
    """Return values that meet a simple condition, and values that do not."""
    named: list[Any] = [int(word) if word.isdigit() else word for word in words.split(" or ")]
    if relation in (" above ", " below "):
        return [named[0] + (1 if relation == " above " else -0.5)], named
    others = [choice for choice in choices or ("another value",) if choice not in named]
    return (named, others) if relation == "=" else (others, named)


@pytest.mark.parametrize(("dependency", "classes", "parts"), SIMPLE, ids=[row.condition for row, _, _ in SIMPLE])
def test_simple_conditions_are_what_the_message_says(dependency, classes, parts):
    fields = {field.name: field for part in classes for field in dataclasses.fields(part)}
    assert set(dependency.options) <= fields.keys()
    name, relation, words, given = parts
    met, unmet = (["a value"], [""]) if given else find_values(relation, words, fields[name].metadata["choices"])
    option = name or given
    # The option --network has an effect in this mode only.
    values = {field.name: field.default for field in fields.values()} | {"mode": "attention"}
    values |= dict.fromkeys(dependency.options, "a changed value")
    for value in met + unmet:
        changed = values | {option: value, f"resolved_{option}": value}
        assert bool(dependency.is_met(types.SimpleNamespace(**changed))) == (value in met)


# Each row has the command, a flag, further flags with which the flag has an effect, and flags with which it has none.
CASES = """
train --data_dir=d | | --dataset=fashion_mnist_10k
train --data_dir=d | PACKAGED_DATA --held_out=tfrecord:t | PACKAGED_DATA --held_out=fashion_mnist_10k:t
train --data_dir=d | --dataset=fashion_mnist_10k --reference=cifar10:test --metrics=fid | --dataset=fashion_mnist_10k
train --held_out=d | --health_every=0 --evaluate_every=1 --metrics=authenticity2k | --health_every=0
train --shuffle_buffer_size=9 | --dataset=cifar10 | --dataset=folder
train --attention_resolutions=8 | --generator_attention_resolutions=8 | NO_ATTENTION
train --attention_form=full | --generator_attention_resolutions= | --attention_resolutions=
train --attention_block=residual | | --architecture=dcgan --attention_resolutions=
train --spectral_norm_constraint=at_most | --nogenerator_spectral_norm | NO_NORM
train --spectral_norm_power_iterations=2 | --nodiscriminator_spectral_norm | NO_NORM
train --spectral_norm_epsilon=1 | | NO_NORM
train --label_sampling=data | | --conditioning=none
train --ada_target=0.6 | --augment=color,flip | --augment=
train --gradient_penalty_final_fraction=0.1 | --r1_weight=1 --gradient_penalty_anneal_steps=9 |
train --gradient_penalty_anneal_steps=9 | --r2_weight=1 --gradient_penalty_final_fraction=0.1 |
train --latent_noise=0.1 | --latent_diversity_weight=1 |
train --num_samples=9 | --evaluate_every=1 --metrics=is | --evaluate_every=1 --metrics=fid50k
train --num_samples=9 | --evaluate_every=1 --metrics=is | --evaluate_every=1
train --reference=a:b | --metrics=is,fid | --metrics=classifier_score10k
train --reference=a:b | --metrics=is --evaluation_labels=reference | --metrics=is
train --reference_dir=d | --evaluate_every=5 --reference=a:b | --evaluate_every=5 --reference=a.npz
train --reference_dir=d | --evaluate_every=5 | --evaluate_every=5 --metrics=label_agreement
train --extractor_features=a | --extractor=model | --extractor=fashion_mnist
train --extractor_logits=a | | --extractor=efficientnet_lite0
evaluate --evaluation_labels=uniform | RUN | --run_dir=without_classes
evaluate --data_dir=d | RUN | --run_dir=with_reference
evaluate --num_samples=9 | RUN --metrics=fid | RUN --metrics=fid50k
evaluate --resolution=32 | --images=cifar10:test | --images=d
evaluate --resolution=32 | --images=cifar10:test | RUN
evaluate --data_dir=d | RUN | --images=d --metrics=is
evaluate --data_dir=d | RUN --metrics=is --evaluation_labels=reference | RUN --metrics=is
evaluate --data_dir=d | RUN --reference=a:b | RUN --reference=a
evaluate --data_dir=d | --images=d --reference=a:b --metrics=fid | --images=d --reference=a --metrics=fid
evaluate --data_dir=d | --images=d --reference=a --held_out=a:b --metrics=authenticity | --images=d --reference=a
evaluate --data_dir=d | RUN --reference=a --held_out=a:b --metrics=authenticity | RUN --reference=a
evaluate --held_out=d | RUN --metrics=fid,classification_accuracy_score10k | RUN --metrics=fid10k
evaluate --extractor=fashion_mnist | RUN --metrics=authenticity | RUN --metrics=classification_accuracy_score
evaluate --inception_dir=d | RUN --metrics=fid | RUN --metrics=classification_accuracy_score
evaluate --reference_dir=d | RUN --metrics=authenticity | RUN --metrics=classification_accuracy_score
evaluate --evaluate_every=5 | NEVER | RUN
evaluate --collapse_patience=5 | NEVER | RUN
evaluate --reference=a:b | --images=d --metrics=fid | --images=d --metrics=is
evaluate --reference_dir=d | RUN --metrics=fid | RUN --metrics=is50k
evaluate --reference_dir=d | RUN --metrics=fid | RUN --metrics=fid --reference=a.npz
evaluate --extractor_features=a | RUN --extractor=model | RUN
evaluate --extractor_logits=a | --images=d | --images=d --extractor=fashion_mnist
sample --num_samples=3 | --mode=interpolation --between=classes --labels=1,2 | --labels=1
sample --truncation=0.5 | --mode=images | --mode=truncation
sample --queries=0:0 | --mode=attention | --mode=attention --output=a.html
sample --data_dir=d | DISCRIMINATOR | --mode=attention
export --resampling=plain | --formats=tflite --discriminator | --formats=tflite
client --columns=8 | --output=a.PNG | --output=a
client --num_samples=100 | --output=a | --output=a.png
"""
_SHORT = {
    "PACKAGED_DATA": "--dataset=fashion_mnist_10k",
    "RUN": "--run_dir=r",
    "NO_ATTENTION": "--generator_attention_resolutions= --discriminator_attention_resolutions=",
    "NO_NORM": "--nogenerator_spectral_norm --nodiscriminator_spectral_norm",
    "DISCRIMINATOR": "--mode=attention --network=discriminator",
}
for _name, _flags in _SHORT.items():
    CASES = CASES.replace(_name, _flags)
ROWS = [[part.split() for part in line.split("|")] for line in CASES.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(first + last) for first, _, last in ROWS])
def test_flag_without_effect_is_rejected(row):
    (name, flag), helping, useless = row
    command = COMMANDS[name]
    if helping != ["NEVER"]:
        command(flag, *helping)
    command(*useless)
    with pytest.raises(UserError) as caught:
        command(flag, *useless)
    option, _, value = flag.removeprefix("--").partition("=")
    assert f"{option}: " in str(caught.value) and value in str(caught.value)


def test_every_other_row_of_the_tables_is_tested():
    tested = {(first[0], first[1].removeprefix("--").partition("=")[0]) for first, _, _ in ROWS}
    rows = {
        (command.__name__, name)
        for command, table in TABLES.items()
        for dependency in table
        for name in dependency.options
        if not SIMPLE_CONDITION.fullmatch(dependency.condition)
    }
    assert rows <= tested


@pytest.mark.parametrize(
    ("flag", "useless"),
    [
        ("--quality=50", "--format=png"),
        ("--shuffle_buffer_size=9", "--dataset=folder"),
        ("--data_dir=d", "--dataset=fashion_mnist_10k"),
    ],
)
def test_flags_of_the_preparation_of_images(flag: str, useless: str) -> None:
    Flags(PreparationOptions).parse(["--output=out", flag])
    with pytest.raises(UserError, match=f"{flag} "):
        Flags(PreparationOptions).parse(["--output=out", flag, useless])
    assert {name for row in PREPARE_IMAGENET for name in row.options} >= {"quality", "shuffle_buffer_size"}


@pytest.mark.parametrize("name", METRICS)
def test_need_for_real_images_agrees_with_the_metrics(name):
    for metric in (name, f"{name}50k"):
        assert EvaluationConfig(metrics=(metric,)).needs_real_images == has_reference_metric(find_metrics([metric]))
        assert EvaluationConfig(metrics=("fid", metric)).needs_real_images
        assert EvaluationConfig(metrics=(metric,), evaluation_labels="reference").needs_real_images


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_flag_in_configs_has_an_effect(path, tmp_path):
    """A flagfile with every flag, as a run writes it, has the same effect."""
    (tmp_path / "flags.cfg").write_text(Config.from_flagfile(path).to_flagfile())
    assert train(f"--flagfile={tmp_path / 'flags.cfg'}") == train(f"--flagfile={path}") != Config()
    with pytest.raises(UserError, match="--logical_cpus=2"):
        train(f"--flagfile={path}", "--strategy=one_device", "--logical_cpus=2")


def test_unchecked_flags():
    (config,) = Flags(Config).parse(["--dataset=folder", "--split=test"])
    parts = [getattr(config, field.name) for field in dataclasses.fields(config)]
    check_dependent_fields(TRAIN, *parts, unchecked={"split"}, facts={"needs_real_images": True})
    with pytest.raises(UserError, match="--split=test"):
        check_dependent_fields(TRAIN, *parts, unchecked={"dataset"})
