"""Setup of a study in a table: data, training and evaluation, and when and where the cells were trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sagan_tf.runs.run_directory import RunDirectory
from tools.ablations.configuration_text import DESCRIPTIONS
from tools.ablations.outcomes import Outcome
from tools.ablations.plan import Plan
from tools.ablations.portable import hide_directory, hide_paths
from tools.ablations.startups import find_first_values
from tools.comparisons.records import format_option_values
from tools.comparisons.run_files import read_startup
from tools.comparisons.summaries import format_count

_PACKAGES = ("sagan-tf", "tensorflow", "keras")
_UNKNOWN = "not recorded"
_MAX_SETTING_COLUMNS = 4


def make_setup_table(plan: Plan, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Make a table of the study, of what all settings have in common, and of when and where the cells were trained."""
    seeds = sorted({cell.seed for cell in plan.cells})
    sizes = {name: _describe_size(data) for name, data in find_first_values(outcomes, "data").items()}
    return [
        ["setup", "value"],
        ["study", plan.study.name],
        ["base", f"`{hide_directory(plan.base)}`"],
        ["command", f"`{plan.command}`"],
        ["size of the data", _format_by_setting(sizes) if sizes else _UNKNOWN],
        *_list_common_options(plan),
        ["steps", f"{plan.cells[0].num_steps:,}"],
        ["seeds", f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])],
        ["best step", f"lowest {plan.metric}"],
        ["versions", _join(_describe_versions(outcome) for outcome in outcomes)],
        ["commit", _join(str(outcome.record.get("git_revision", "")) for outcome in outcomes)],
        ["machine", _join(str(outcome.record.get("machine", "")) for outcome in outcomes)],
        ["devices", _join(_describe_devices(read_startup(outcome.cell.run_dir)) for outcome in outcomes)],
        ["cells ended", _describe_dates(outcomes)],
    ]


def _list_common_options(plan: Plan) -> list[list[str]]:
    """Return a row for each part of the configuration that is the same in all settings that have it."""
    configs = {cell.setting.name: cell.config for cell in plan.cells}.values()
    rows = []
    for name, describe in DESCRIPTIONS.items():
        values = {describe(config) for config in configs} - {""}
        rows += [[name, *values]] if len(values) == 1 else []
    return rows


def make_options_table(plan: Plan) -> list[list[str]]:
    """Make a table with a row for each option in which settings differ; the row of few settings has a column of each.

    Without such an option, it has only the heading.
    """
    by_setting = {cell.setting.name: format_option_values(cell.config) for cell in plan.cells}
    has_columns = len(by_setting) <= _MAX_SETTING_COLUMNS
    rows = [["option", *by_setting] if has_columns else ["option", "values"]]
    for name in next(iter(by_setting.values())):
        values = {setting: hide_paths(options[name], name.upper()) for setting, options in by_setting.items()}
        if len(set(values.values())) > 1:
            shown = {setting: f"`{value}`" if value else "(empty)" for setting, value in values.items()}
            rows.append([f"`{name}`", *(shown.values() if has_columns else [_group_by_value(shown)])])
    return rows


def _group_by_value(values: Mapping[str, str]) -> str:
    """Format each value with the settings that have it, the most frequent one as that of the others."""
    (first, _), *others = _find_settings_by_value(values)
    return "; ".join([*(f"{value}: {', '.join(settings)}" for value, settings in others), f"{first}: the others"])


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
    parts = [f"{format_count(replicas, 'replica')}: {'; '.join(cells[replicas])}" for replicas in others]
    return [
        f"not all cells have equal batch statistics: {'. '.join(parts)}. The others: {format_count(most, 'replica')}"
    ]


def _format_by_setting(values: Mapping[str, str]) -> str:
    """Format the most frequent value, and the settings that have another one."""
    (first, _), *others = _find_settings_by_value(values)
    return "; ".join([first, *(f"{', '.join(settings)}: {value}" for value, settings in others)])


def _find_settings_by_value(values: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return each value with the settings that have it, the most frequent value first."""
    settings: dict[str, list[str]] = {}
    for name, value in values.items():
        settings.setdefault(value, []).append(name)
    return sorted(settings.items(), key=lambda item: -len(item[1]))


def _describe_size(data: Mapping[str, Any]) -> str:
    counts = [
        format_count(data[name], noun)
        for name, noun in (("num_examples", "image"), ("num_classes", "class"))
        if data.get(name) is not None
    ]
    return ", ".join(counts) or _UNKNOWN


def _describe_versions(outcome: Outcome) -> str:
    versions = RunDirectory(str(outcome.cell.run_dir)).read_versions()
    return ", ".join(f"{name} {versions[name]}" for name in _PACKAGES if name in versions)


def _describe_devices(startup: Mapping[str, Any]) -> str:
    return ", ".join(device.rpartition("device:")[2] for device in startup.get("devices", ()))


def _describe_dates(outcomes: Iterable[Outcome]) -> str:
    """Return the dates, in UTC, at which the first and the last cell ended, of those that record it."""
    ended = (outcome.record.get("ended") for outcome in outcomes if outcome.has_ended)
    dates = sorted(str(time).partition("T")[0] for time in ended if time)
    return " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else _UNKNOWN


def _join(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(filter(None, texts))) or _UNKNOWN
