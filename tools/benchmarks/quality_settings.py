"""Settings of the quality benchmark: text files in which a line is a name and the flags of a training run."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from sagan_tf.cli.flags import parse_config
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from tools.benchmarks.workers import ROOT

SETTINGS_FILE = ROOT / "configs" / "quality_settings.txt"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A training run that is compared with others.

    Attributes:
        name: Also the name of its directory.
        flags: All flags that differ from those of the base.
    """

    name: str
    flags: tuple[str, ...]


def find_settings(names_or_file: str) -> list[Setting]:
    """Find the settings that `--settings` asks for.

    Args:
        names_or_file: A settings file, of which all are taken; or names in `configs/quality_settings.txt` with commas
            between them. Empty: all of that file.

    Raises:
        UserError: There is no such file or name, or a line is wrong.
    """
    if not names_or_file:
        return _read_settings(SETTINGS_FILE)
    path = Path(names_or_file).expanduser()
    if path.is_file():
        return _read_settings(path)
    known = {setting.name: setting for setting in _read_settings(SETTINGS_FILE)}
    names = list(dict.fromkeys(names_or_file.split(",")))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"settings: expected a file, or names of {', '.join(known)}, received {unknown[0]!r}")
    return [known[name] for name in names]


def parse_settings(settings: Sequence[Setting], flags: Sequence[str]) -> list[Config]:
    """Parse and check the configuration of each setting, as training and evaluation check it before they begin.

    Args:
        settings: What is trained.
        flags: The flags of all settings, which come before those of each.

    Returns:
        The configurations in the order of the settings.

    Raises:
        UserError: The flags of a setting are not those of a training run, do not fit together, or name metrics that its
            extractor cannot have; the message names the setting.
    """
    configs = []
    for setting in settings:
        try:
            configs.append(parse_config([*flags, *setting.flags]))
            _check(configs[-1])
        except UserError as error:
            raise UserError(f"setting {setting.name}: {error}") from error
    return configs


def _check(config: Config) -> None:
    # Here, so that TensorFlow is loaded only when there are settings to check: `--help` answers at once.
    load_tensorflow()
    from sagan_tf.evaluation.checks import check_names
    from sagan_tf.evaluation.metrics import find_metrics
    from sagan_tf.evaluation.settings import resolve
    from sagan_tf.training.validation import check_config, check_flags

    check_config(config)
    check_flags(config)
    evaluation = resolve(config.evaluation)
    check_names(evaluation.extractor, find_metrics(evaluation.metrics))


def _read_settings(path: Path) -> list[Setting]:
    settings: dict[str, Setting] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, *flags = shlex.split(line)
        except ValueError as error:
            raise UserError(f"settings: {path}, line {number}: {error}") from error
        if not re.fullmatch(r"\w[\w.+-]*", name) or name in settings:
            raise UserError(
                f"settings: {path}, line {number}: expected another name of letters, digits, '_', '.', '+' and '-', "
                f"received {name!r}"
            )
        settings[name] = Setting(name, tuple(flags))
    if not settings:
        raise UserError(f"settings: expected a line with a name and flags in {path}, received none")
    return list(settings.values())
