"""Plan of a study: its cells, and the settings that its base cannot have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sagan_tf.cli.flags import parse_config
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.text import make_printable
from tools.ablations.options import AblationOptions
from tools.ablations.portable import format_study_command
from tools.ablations.studies import Study, find_study, replace_equal_rate, select_settings
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.records import find_recorded_data_dir, format_option_values, list_record_paths
from tools.comparisons.settings import (
    Setting,
    check_schedules,
    collect_common_flags,
    find_base,
    parse_setting,
)
from tools.repository import ROOT

_SELECTING_FAMILIES = ("fid", "fcd")
"""Metrics that select the best step, as in the paper and with extractors other than Inception."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a study trains.

    Attributes:
        study: The study, with the settings that are compared.
        base: Path of the flagfile of all settings.
        base_config: Its configuration, with the flags that all settings have in common.
        cells: The cells, seed by seed, so that a slow hour of the machine affects all settings alike.
        metric: Name of the metric that selects the best step; lower is better.
        directory: Directory of the runs and of the results.
        notes: A line for each setting that is left out or changed, and one for stored records of other cells.
        command: The command of the study, without paths of the machine.
    """

    study: Study
    base: str
    base_config: Config
    cells: tuple[Cell, ...]
    metric: str
    directory: Path
    notes: tuple[str, ...]
    command: str = ""


def create_plan(options: AblationOptions) -> Plan:
    """Create the plan of a study, and check every setting as training does.

    Raises:
        UserError: A setting is wrong, none is left, or no metric can select the best step.
    """
    study, base = find_study(options.study), find_base(options.base)
    load_tensorflow()
    directory = _find_directory(options, study, base)
    data_dir = _find_data_dir(options, study, directory, ROOT / base)
    common_flags = collect_common_flags(options.metrics, data_dir, options.evaluate_every)
    common = parse_config([f"--flagfile={ROOT / base}", *common_flags])
    rates = common.training.generator_learning_rate, common.training.discriminator_learning_rate
    settings = [replace_equal_rate(setting, *rates) for setting in select_settings(study, options.settings)]
    pairs, notes = _leave_out_impossible(settings, common_flags, ROOT / base)
    pairs = _leave_out_equal(pairs, notes)
    steps = options.steps or common.training.num_steps
    check_schedules([setting for setting, _ in pairs], [config for _, config in pairs], steps)
    _note_missing_evaluations(pairs, steps, notes)
    pairs = [_remove_class_metrics(*pair, notes) for pair in pairs]
    flags, limit = (f"--flagfile={base}", *common_flags), Limit(steps, 0.0)
    cells = tuple(
        Cell(setting, seed, limit, flags, directory, config)
        for seed in range(options.seeds)
        for setting, config in pairs
    )
    _note_other_records(cells, directory, notes)
    kept = dataclasses.replace(study, settings=tuple(setting for setting, _ in pairs))
    has_data_dir = any(flag.startswith("--data_dir=") for flag in common_flags)
    command = format_study_command(options, base, has_data_dir=has_data_dir)
    return Plan(kept, base, common, cells, _find_selecting_metric(cells), directory, tuple(notes), command)


def _find_directory(options: AblationOptions, study: Study, base: str) -> Path:
    return Path(options.run_dir or f"runs/ablations/{study.name}/{Path(base).stem}").expanduser().absolute()


def _find_data_dir(options: AblationOptions, study: Study, directory: Path, base: Path) -> str:
    """Return the directory of the data, with `--collect` that of the recorded runs; empty for that of the base.

    The runs of settings that name their own data do not count.
    """
    if not options.collect:
        return options.data_dir
    settings = [s.name for s in study.settings if not any(flag.startswith("--data_dir=") for flag in s.flags)]
    recorded = find_recorded_data_dir(directory, settings)
    if recorded and recorded == parse_config([f"--flagfile={base}"]).data.data_dir:
        return ""
    return recorded or options.data_dir


def _leave_out_equal(pairs: Sequence[tuple[Setting, Config]], notes: list[str]) -> list[tuple[Setting, Config]]:
    """Return the settings without those that configure the same run as one before, and add a note for each of these."""
    kept: dict[str, tuple[Setting, Config]] = {}
    for setting, config in pairs:
        first, _ = kept.setdefault(str(format_option_values(config)), (setting, config))
        if first is not setting:
            notes.append(f"{setting.name}: left out: with this base, it has the same options as {first.name}")
    return list(kept.values())


def _note_missing_evaluations(pairs: Sequence[tuple[Setting, Config]], steps: int, notes: list[str]) -> None:
    """Add a note if some runs are evaluated only at their end."""
    names = [setting.name for setting, config in pairs if not 0 < config.evaluation.evaluate_every < steps]
    if names:
        notes.append(
            f"{', '.join(names)}: no evaluation before step {steps} (--evaluate_every), so that the best step is the "
            "last"
        )


def _note_other_records(cells: Sequence[Cell], directory: Path, notes: list[str]) -> None:
    """Add a note if a directory has records of cells that are not those of the plan, such as other seeds."""
    planned = {cell.path_with_suffix(".json") for cell in cells}
    seeds: dict[str, list[int]] = {}
    for path in list_record_paths(directory):
        if path not in planned:
            seeds.setdefault(make_printable(path.parent.name), []).append(int(path.stem.removeprefix("seed_")))
    if seeds:
        names = [
            f"{name}, {'seed' if len(numbers) == 1 else 'seeds'} {', '.join(map(str, sorted(numbers)))}"
            for name, numbers in seeds.items()
        ]
        notes.append(f"stored but not in these results: {'; '.join(names)}")


def _leave_out_impossible(
    settings: Sequence[Setting], common_flags: Sequence[str], base: Path
) -> tuple[list[tuple[Setting, Config]], list[str]]:
    """Return the settings whose attention is at feature maps that both networks have, and a line for each other."""
    from sagan_tf.networks.architectures import MissingFeatureMapError

    pairs, notes = [], []
    for setting in settings:
        try:
            pairs.append((setting, parse_setting(setting, [f"--flagfile={base}", *common_flags])))
        except UserError as error:
            reason = error.__cause__
            if not isinstance(reason, MissingFeatureMapError):
                raise
            notes.append(f"{setting.name}: left out: {reason.describe()}")
    if not pairs:
        raise UserError(f"study: the networks of {base} can have no setting of it; {notes[0]}")
    return pairs, notes


def _remove_class_metrics(setting: Setting, config: Config, notes: list[str]) -> tuple[Setting, Config]:
    """Remove the metrics that need classes from a setting without them, and add a note."""
    from sagan_tf.evaluation.metrics import find_metrics
    from sagan_tf.evaluation.settings import resolve_settings
    from sagan_tf.features.statistics import AGREEMENT

    if config.model.uses_classes:
        return setting, config
    metrics = find_metrics(resolve_settings(config.evaluation).metrics)
    removed = [m.name for m in metrics if m.family.is_per_class or AGREEMENT in m.family.required]
    if not removed:
        return setting, config
    kept = [metric.name for metric in metrics if metric.name not in removed]
    notes.append(f"{setting.name}: without {', '.join(removed)}, as the setting uses no classes")
    evaluation = dataclasses.replace(config.evaluation, metrics=tuple(kept))
    setting = dataclasses.replace(setting, flags=(*setting.flags, f"--metrics={','.join(kept)}"))
    return setting, dataclasses.replace(config, evaluation=evaluation)


def _find_selecting_metric(cells: Sequence[Cell]) -> str:
    from sagan_tf.evaluation.settings import resolve_settings
    from tools.comparisons.metric_headings import remove_sample_count

    found = {}
    for cell in cells:
        metrics = resolve_settings(cell.config.evaluation).metrics
        selecting = (name for name in metrics if remove_sample_count(name) in _SELECTING_FAMILIES)
        found[next(selecting, "none")] = cell.setting.name
    if len(found) > 1 or "none" in found:
        names = ", ".join(f"{metric} in {setting}" for metric, setting in found.items())
        raise UserError(f"metrics: expected the same first fid or fcd in all settings, received {names}")
    return next(iter(found))
