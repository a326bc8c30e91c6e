"""Setup of a study in a table: data, training and evaluation, and when and where the cells were trained."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan_tf.config import Config
from sagan_tf.config.metric_names import split_metric_name
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from tools.ablations.outcomes import Outcome, group_by_setting
from tools.ablations.plan import Plan
from tools.ablations.portable import hide_directory, hide_paths
from tools.comparisons.records import FINISHED, UNHEALTHY

_PACKAGES = ("sagan-tf", "tensorflow", "keras")
_UNKNOWN = "not recorded"


def make_setup_table(plan: Plan, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Make a table of what all cells have in common; where settings differ, it names them."""
    from sagan_tf.evaluation.settings import resolve_settings

    configs = {cell.setting.name: cell.config for cell in plan.cells}
    startups = [startup for outcome in outcomes if (startup := _read_startup(outcome))]
    seeds = sorted({cell.seed for cell in plan.cells})

    def describe(format_value: Callable[[Config], str]) -> str:
        return _format_by_setting({name: format_value(config) for name, config in configs.items()})

    evaluations = {name: resolve_settings(config.evaluation) for name, config in configs.items()}
    return [
        ["setup", "value"],
        ["base", f"`{hide_directory(plan.base)}`"],
        ["data", describe(lambda config: _describe_data(config, startups))],
        ["images", describe(lambda c: f"{c.model.resolution} px, {_count(c.model.image_channels, 'channel')}")],
        ["batch size", describe(lambda config: str(config.training.global_batch_size))],
        ["learning rates", describe(_describe_rates)],
        ["steps", f"{plan.cells[0].num_steps:,}"],
        ["seeds", f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])],
        ["metrics", _format_by_setting({name: _describe_metrics(e.metrics) for name, e in evaluations.items()})],
        ["best step", f"lowest {plan.metric}"],
        ["extractor", _format_by_setting({name: hide_paths(e.extractor, "own") for name, e in evaluations.items()})],
        ["reference", describe(_describe_reference)],
        ["weights", describe(_describe_weights)],
        ["versions", _join(_describe_versions(outcome) for outcome in outcomes)],
        ["machine", _join(str(outcome.record.get("machine", "")) for outcome in outcomes)],
        ["devices", _join(_describe_devices(startup) for startup in startups)],
        ["cells ended", _describe_dates(outcomes)],
    ]


def find_unequal_devices(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each setting whose cells were trained with different numbers of replicas or devices."""
    notes = []
    for setting, cells in group_by_setting(outcomes).items():
        seeds: dict[str, list[str]] = {}
        for outcome in cells:
            startup = _read_startup(outcome)
            if startup:
                replicas, devices = startup.get("replicas", 1), len(startup.get("devices", ()))
                text = f"{_count(replicas, 'replica')} on {_count(devices, 'device')}"
                seeds.setdefault(text, []).append(str(outcome.cell.seed))
        if len(seeds) > 1:
            parts = "; ".join(f"{text}: seed {', '.join(of_text)}" for text, of_text in seeds.items())
            notes.append(f"{setting}: not all cells have equal batch statistics ({parts})")
    return notes


def _format_by_setting(values: Mapping[str, str]) -> str:
    """Format the most frequent value, and the settings that have another one."""
    settings: dict[str, list[str]] = {}
    for name, value in values.items():
        settings.setdefault(value, []).append(name)
    first, *others = sorted(settings, key=lambda value: -len(settings[value]))
    return "; ".join([first, *(f"{', '.join(settings[value])}: {value}" for value in others)])


def _describe_data(config: Config, startups: Sequence[Mapping[str, Any]]) -> str:
    data: Mapping[str, Any] = next((startup["data"] for startup in startups if "data" in startup), {})
    counts = [
        _count(data[name], noun)
        for name, noun in (("num_examples", "image"), ("num_classes", "class"))
        if data.get(name) is not None
    ]
    return f"{config.data.dataset}, {config.data.split}" + (f": {', '.join(counts)}" if counts else "")


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _describe_rates(config: Config) -> str:
    training = config.training
    rates = f"generator {training.generator_learning_rate:g}, discriminator {training.discriminator_learning_rate:g}"
    return rates if training.learning_rate_end is None else f"{rates}, 0 from step {training.learning_rate_end:,}"


def _describe_metrics(names: Iterable[str]) -> str:
    by_size: dict[int | None, list[str]] = {}
    for name in names:
        family, size = split_metric_name(name)
        by_size.setdefault(size, []).append(family)
    return "; ".join(
        f"{', '.join(families)} of {f'{size:,} images' if size else 'all generated images'}"
        for size, families in by_size.items()
    )


def _describe_reference(config: Config) -> str:
    reference = hide_paths(config.evaluation.reference, "own images")
    return reference or f"training images ({config.data.dataset}, {config.data.split})"


def _describe_weights(config: Config) -> str:
    training = config.training
    if training.ema_half_life_images:
        return f"EMA, half-life of {training.ema_half_life_images:,} images"
    if not training.ema_decay:
        return "live (no EMA)"
    return f"EMA, decay {training.ema_decay:g} from step {training.ema_start_step:,}"


def _describe_versions(outcome: Outcome) -> str:
    versions = RunDirectory(str(outcome.cell.run_dir)).read_versions()
    return ", ".join(f"{name} {versions[name]}" for name in _PACKAGES if name in versions)


def _describe_devices(startup: Mapping[str, Any]) -> str:
    return ", ".join(device.rpartition("device:")[2] for device in startup.get("devices", ()))


def _describe_dates(outcomes: Iterable[Outcome]) -> str:
    """Return the dates at which the first and the last record of a cell that has ended were written."""
    paths = [outcome.cell.path_with_suffix(".json") for outcome in outcomes if outcome.status in (FINISHED, UNHEALTHY)]
    dates = sorted(_read_date(path) for path in paths)
    return " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "none"


def _read_date(path: Path) -> str:
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.timezone.utc).date().isoformat()


def _read_startup(outcome: Outcome) -> dict[str, Any]:
    """Read `startup.json` of the run of a cell; empty if it is missing or damaged."""
    try:
        return dict(json.loads(read_text(RunDirectory(str(outcome.cell.run_dir)).startup)))
    except (OSError, ValueError, TypeError):
        return {}


def _join(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(filter(None, texts))) or _UNKNOWN
