"""Setup of a study in a table: data, training and evaluation, and when and where the cells were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sagan_tf.config import Config
from sagan_tf.config.metric_names import split_metric_name
from sagan_tf.runs.run_directory import RunDirectory
from tools.ablations.outcomes import Outcome
from tools.ablations.plan import Plan
from tools.ablations.portable import hide_directory, hide_paths
from tools.ablations.startups import find_first_values, read_startup
from tools.comparisons.records import FINISHED, UNHEALTHY

_PACKAGES = ("sagan-tf", "tensorflow", "keras")
_UNKNOWN = "not recorded"


def make_setup_table(plan: Plan, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Make a table of what all cells have in common; where settings differ, it names them."""
    from sagan_tf.evaluation.settings import resolve_settings

    configs = {cell.setting.name: cell.config for cell in plan.cells}
    seeds = sorted({cell.seed for cell in plan.cells})

    def describe(format_value: Callable[[Config], str]) -> str:
        return _format_by_setting({name: format_value(config) for name, config in configs.items()})

    sizes = {name: _describe_size(data) for name, data in find_first_values(outcomes, "data").items()}
    evaluations = {name: resolve_settings(config.evaluation) for name, config in configs.items()}
    extractors = {name: hide_paths(each.extractor, "own extractor") for name, each in evaluations.items()}
    return [
        ["setup", "value"],
        ["study", plan.study.name],
        ["base", f"`{hide_directory(plan.base)}`"],
        ["command", f"`{plan.command}`"],
        ["data", describe(lambda config: f"{config.data.dataset}, {config.data.split}")],
        ["size of the data", _format_by_setting(sizes) if sizes else _UNKNOWN],
        ["images", describe(lambda c: f"{c.model.resolution} px, {_count(c.model.image_channels, 'channel')}")],
        ["batch size", describe(lambda config: str(config.training.global_batch_size))],
        ["learning rates", describe(_describe_rates)],
        ["steps", f"{plan.cells[0].num_steps:,}"],
        ["seeds", f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])],
        ["metrics", _format_by_setting({name: _describe_metrics(e.metrics) for name, e in evaluations.items()})],
        ["best step", f"lowest {plan.metric}"],
        ["extractor", _format_by_setting(extractors)],
        ["reference", describe(_describe_reference)],
        ["weights", describe(_describe_weights)],
        ["versions", _join(_describe_versions(outcome) for outcome in outcomes)],
        ["commit", _join(str(outcome.record.get("git_revision", "")) for outcome in outcomes)],
        ["machine", _join(str(outcome.record.get("machine", "")) for outcome in outcomes)],
        ["devices", _join(_describe_devices(read_startup(outcome)) for outcome in outcomes)],
        ["cells ended", _describe_dates(outcomes)],
    ]


def find_unequal_replicas(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line if the cells of a study were trained on different numbers of replicas, and else nothing."""
    cells: dict[int, list[str]] = {}
    for outcome in outcomes:
        replicas = outcome.record.get("replicas")
        if replicas is not None:
            cells.setdefault(replicas, []).append(outcome.cell.name)
    most, *others = sorted(cells, key=lambda replicas: -len(cells[replicas])) or [0]
    if not others:
        return []
    parts = [f"{_count(replicas, 'replica')}: {'; '.join(cells[replicas])}" for replicas in others]
    return [f"not all cells have equal batch statistics: {'. '.join(parts)}. The others: {_count(most, 'replica')}"]


def _format_by_setting(values: Mapping[str, str]) -> str:
    """Format the most frequent value, and the settings that have another one."""
    settings: dict[str, list[str]] = {}
    for name, value in values.items():
        settings.setdefault(value, []).append(name)
    first, *others = sorted(settings, key=lambda value: -len(settings[value]))
    return "; ".join([first, *(f"{', '.join(settings[value])}: {value}" for value in others)])


def _describe_size(data: Mapping[str, Any]) -> str:
    counts = [
        _count(data[name], noun)
        for name, noun in (("num_examples", "image"), ("num_classes", "class"))
        if data.get(name) is not None
    ]
    return ", ".join(counts) or _UNKNOWN


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
    """Return the dates, in UTC, at which the first and the last cell ended, of those that record it."""
    ended = (outcome.record.get("ended") for outcome in outcomes if outcome.status in (FINISHED, UNHEALTHY))
    dates = sorted(str(time).partition("T")[0] for time in ended if time)
    return " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else _UNKNOWN


def _join(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(filter(None, texts))) or _UNKNOWN
