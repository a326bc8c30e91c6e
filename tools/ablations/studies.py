"""Studies: settings files in `configs/ablations`, or of the user, whose comments say what they compare."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sagan_tf.errors import UserError
from sagan_tf.text import read_text
from tools.comparisons.settings import Setting, read_settings_file
from tools.repository import ROOT

STUDIES = ROOT / "configs" / "ablations"
COMPARE = "@compare"
"""First word of a line that names two settings, at the end of the file."""
EQUAL_RATE = "{equal_rate}"
"""Part of a flag that stands for the geometric mean of the two learning rates of the base."""

Pair = tuple[str, str]
"""Names of two settings that are compared: the difference is that of the second from the first."""


@dataclasses.dataclass(frozen=True)
class Study:
    """Settings that are compared.

    Attributes:
        name: The name, also of the directory of the runs.
        description: The comment at the top of the file, without the signs of a comment.
        settings: The settings.
        named_pairs: The pairs of settings in the lines `@compare` of the file.
    """

    name: str
    description: str
    settings: tuple[Setting, ...]
    named_pairs: tuple[Pair, ...] = ()

    @property
    def title(self) -> str:
        """Return the first line of the description without its full stop, or the name."""
        return self.description.partition("\n")[0].rstrip(". ") or self.name

    @property
    def introduction(self) -> str:
        """Return the other lines of the description as paragraphs.

        A paragraph ends at an empty line, or at a line that ends with a full stop.
        """
        lines = self.description.splitlines()[1:]
        text = "\n".join(f"{line}\n" if line.endswith(".") else line for line in lines)
        paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
        return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Return the pairs that are compared.

        These are the named pairs of which both settings are in `settings`. If the file names no pairs, every setting is
        compared with the first.
        """
        names = [setting.name for setting in self.settings]
        if not self.named_pairs:
            return tuple((names[0], name) for name in names[1:])
        return tuple(pair for pair in self.named_pairs if set(pair) <= set(names))


def list_packaged_studies() -> dict[str, Path]:
    """List the study files of the project by the name of the study."""
    return {path.stem: path for path in sorted(STUDIES.glob("*.txt"))}


def find_study(name_or_file: str) -> Study:
    """Find a study.

    Args:
        name_or_file: Name of a file in `configs/ablations` without its ending, or path of a settings file.

    Raises:
        UserError: There is no such study, or a line of its file is wrong.
    """
    known = list_packaged_studies()
    path = known.get(name_or_file, Path(name_or_file).expanduser())
    if not path.is_file():
        raise UserError(f"study: expected a file, or one of {', '.join(known)}, received {name_or_file!r}")
    settings, lines = read_settings_file(path)
    pairs = _parse_pairs(path, lines, [setting.name for setting in settings])
    return Study(path.stem, _read_description(path), tuple(settings), pairs)


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


def _parse_pairs(path: Path, lines: Iterable[tuple[int, str]], names: Sequence[str]) -> tuple[Pair, ...]:
    """Return the pairs of settings that numbered lines of the file of a study name.

    Raises:
        UserError: A line is wrong, names an unknown setting, or reverses the pair of another line.
    """
    pairs: dict[Pair, None] = {}
    for number, line in lines:
        place = f"study: {path}, line {number}"
        word, *pair = line.split()
        if word != COMPARE or len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(f"{place}: expected {COMPARE} and the names of two settings, received {line!r}")
        unknown = [name for name in pair if name not in names]
        if unknown:
            raise UserError(f"{place}: expected names of {', '.join(names)}, received {unknown[0]!r}")
        first, second = pair
        if (second, first) in pairs:
            raise UserError(f"{place}: expected each pair in one order, received {line!r} after its reverse")
        pairs[first, second] = None
    return tuple(pairs)
