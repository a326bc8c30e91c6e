"""Settings of a comparison, read from text files whose lines are a name and the flags of a training run."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sagan_tf.cli.flags import parse_config
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from tools.repository import ROOT

SETTINGS_FILE = ROOT / "configs" / "quality_settings.txt"
_SHARED_FLAGS = "*"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A named set of flags of a training run.

    Attributes:
        name: The name, also of the directory of its runs.
        flags: The flags that follow those of all settings.
    """

    name: str
    flags: tuple[str, ...]


class SettingsFile(NamedTuple):
    """The content of a settings file.

    Attributes:
        settings: The settings.
        study_lines: Number and text of each line that begins with `@`, which only the file of a study has.
    """

    settings: list[Setting]
    study_lines: list[tuple[int, str]]


def find_settings(names_or_file: str) -> list[Setting]:
    """Find the settings that `--settings` names.

    Args:
        names_or_file: A settings file, or a comma list of names in `configs/quality_settings.txt`. Empty: all settings
            in that file.

    Raises:
        UserError: The file or a name does not exist, or a line of the file is wrong or belongs to a study.
    """
    path = Path(names_or_file or SETTINGS_FILE).expanduser()
    if path.is_file():
        return _read_without_study_lines(path)
    known = {setting.name: setting for setting in _read_without_study_lines(SETTINGS_FILE)}
    names = list(dict.fromkeys(names_or_file.split(",")))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"settings: expected a file, or names of {', '.join(known)}, received {unknown[0]!r}")
    return [known[name] for name in names]


def find_base(flagfile: str) -> str:
    """Return the path of the flagfile of all settings, relative to the repository if the flagfile is in it.

    Args:
        flagfile: A path relative to the repository or to the current directory, or an absolute path.
    """
    path = ROOT / Path(flagfile).expanduser()
    if not path.is_file():
        path = Path(flagfile).expanduser().absolute()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def has_metrics(base: Path) -> bool:
    """Return whether a flagfile sets metrics."""
    return bool(parse_config([f"--flagfile={base}"]).evaluation.metrics)


def collect_common_flags(metrics: str, data_dir: str, evaluate_every: int) -> list[str]:
    """Return the flags of all settings that follow their flagfile; an empty value or 0 adds no flag."""
    flags = [f"--metrics={metrics}"] if metrics else []
    if data_dir:
        is_remote = "://" in data_dir
        flags.append(f"--data_dir={data_dir if is_remote else Path(data_dir).expanduser().absolute()}")
    return flags + ([f"--evaluate_every={evaluate_every}"] if evaluate_every else [])


def parse_settings(settings: Sequence[Setting], flags: Sequence[str]) -> list[Config]:
    """Parse and check the configuration of each setting.

    The checks are those that training and evaluation make before they begin.

    Args:
        settings: The settings.
        flags: The flags of all settings, which precede those of each setting.

    Returns:
        The configurations in the order of the settings.

    Raises:
        UserError: The flags of a setting are not flags of a training run, are inconsistent, or name metrics that the
            extractor does not support; the message names the setting.
    """
    return [parse_setting(setting, flags) for setting in settings]


def parse_setting(setting: Setting, flags: Sequence[str]) -> Config:
    """Parse and check the configuration of one setting, see `parse_settings`."""
    try:
        config = parse_config([*flags, *setting.flags])
        _check_config(config)
    except UserError as error:
        raise UserError(f"setting {setting.name}: {error}") from error
    return config


def check_schedules(settings: Sequence[Setting], configs: Sequence[Config], steps: int) -> None:
    """Raise UserError if the learning rates of a setting reach 0 before `steps` steps."""
    for setting, config in zip(settings, configs, strict=True):
        end = config.training.learning_rate_end
        if end is not None and steps > end:
            raise UserError(
                f"steps: expected at most {end} for setting {setting.name}, whose learning rates are 0 after that, "
                f"received {steps}; change --learning_rate_decay_steps of the setting"
            )


def _check_config(config: Config) -> None:
    # TensorFlow is loaded here, and not at import, so that `--help` is fast.
    load_tensorflow()
    from sagan_tf.evaluation.checks import check_metrics_match_extractor
    from sagan_tf.evaluation.metrics import find_metrics
    from sagan_tf.evaluation.settings import resolve_settings
    from sagan_tf.training.validation import check_config, check_flags

    check_config(config)
    check_flags(config)
    evaluation = resolve_settings(config.evaluation)
    check_metrics_match_extractor(evaluation.extractor, find_metrics(evaluation.metrics))


def _read_without_study_lines(path: Path) -> list[Setting]:
    settings, study_lines = read_settings_file(path)
    for number, line in study_lines:
        raise UserError(
            f"settings: {path}, line {number}: {line.split()[0]} belongs to a study of tools/ablation.py; remove the "
            "line"
        )
    return settings


def read_settings_file(path: Path) -> SettingsFile:
    """Read a settings file.

    A line `* FLAGS` gives flags to all settings after it, up to the next such line. They precede those of a setting.
    Lines that begin with `@` follow all settings.

    Args:
        path: The file.

    Raises:
        UserError: The file cannot be read, has no settings, or a line is wrong; the message names the line.
    """
    settings: dict[str, Setting] = {}
    study_lines: list[tuple[int, str]] = []
    shared: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@"):
            study_lines.append((number, line.strip()))
            continue
        place = f"settings: {path}, line {number}"
        try:
            name, *flags = shlex.split(line)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from error
        if study_lines:
            raise UserError(f"{place}: expected all settings before the first line with '@', received {name!r}")
        if name == _SHARED_FLAGS:
            shared = flags
            continue
        if not re.fullmatch(r"\w[\w.+-]*", name) or name in settings:
            raise UserError(
                f"{place}: expected a new name of letters, digits, '_', '.', '+' and '-', received {name!r}"
            )
        settings[name] = Setting(name, (*shared, *flags))
    if not settings:
        raise UserError(f"settings: {path} has no settings; write a name and flags on each line")
    return SettingsFile(list(settings.values()), study_lines)
