"""Settings of the quality benchmark: text files in which a line is a name and the flags of a training run."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

from sagan_tf.errors import UserError
from sagan_tf.flags import parse_config
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


def check_settings(settings: list[Setting], base: str) -> None:
    """Raise UserError if the flags of a setting are not those of a training run."""
    for setting in settings:
        try:
            parse_config([f"--flagfile={base}", *setting.flags])
        except UserError as error:
            raise UserError(f"setting {setting.name}: {error}") from error


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
