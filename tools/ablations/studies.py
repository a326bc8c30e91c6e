"""Studies: settings files in `configs/ablations`, or of the user, whose comments say what they compare."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from tools.comparisons.settings import Setting, read_settings
from tools.repository import ROOT

STUDIES = ROOT / "configs" / "ablations"
EQUAL_RATE = "{equal_rate}"
"""Part of a flag that stands for the geometric mean of the two learning rates of the base."""


@dataclasses.dataclass(frozen=True)
class Study:
    """Settings that are compared.

    Attributes:
        name: The name, also of the directory of the runs.
        description: The comment at the top of the file, without the signs of a comment.
        settings: The settings.
    """

    name: str
    description: str
    settings: tuple[Setting, ...]


def find_study(name_or_file: str) -> Study:
    """Find a study.

    Args:
        name_or_file: Name of a file in `configs/ablations` without its ending, or path of a settings file.

    Raises:
        UserError: There is no such study, or a line of its file is wrong.
    """
    known = {path.stem: path for path in sorted(STUDIES.glob("*.txt"))}
    path = known.get(name_or_file, Path(name_or_file).expanduser())
    if not path.is_file():
        raise UserError(f"study: expected a file, or one of {', '.join(known)}, received {name_or_file!r}")
    return Study(path.stem, _read_description(path), tuple(read_settings(path)))


def select_settings(study: Study, names: tuple[str, ...]) -> tuple[Setting, ...]:
    """Return the settings of a study with the given names, or all, in the order of the study.

    Raises:
        UserError: The study has no setting with one of the names.
    """
    known = [setting.name for setting in study.settings]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"settings: expected names of {', '.join(known)}, received {unknown[0]!r}")
    return tuple(setting for setting in study.settings if not names or setting.name in names)


def replace_equal_rate(setting: Setting, generator_rate: float, discriminator_rate: float) -> Setting:
    """Replace `{equal_rate}` in the flags of a setting by the geometric mean of two learning rates."""
    rate = f"{(generator_rate * discriminator_rate) ** 0.5:.6g}"
    return dataclasses.replace(setting, flags=tuple(flag.replace(EQUAL_RATE, rate) for flag in setting.flags))


def _read_description(path: Path) -> str:
    lines = read_text(path).splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join(line.removeprefix("#").strip() for line in comment)
