"""Archive of the records of a study, from which `--collect` writes the same results on another machine."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan_tf.files import replace_atomically
from sagan_tf.runs.evaluation_protocol import DURING_TRAINING, select_training_evaluations
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from sagan_tf.training.health.signs import DISTANCE_RATIO
from tools.ablations.curves import GAMMA
from tools.ablations.ended_runs import REUSED_FROM
from tools.ablations.outcomes import Outcome
from tools.ablations.portable import hide_paths, hide_paths_in_message
from tools.ablations.study_images import IMAGES
from tools.comparisons.cells import Cell
from tools.comparisons.run_files import read_run_records, read_startup

ARCHIVE = "records.zip"
_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of all files in the archive, the first that a zip file can have."""
_UNIX = 3
"""System that the archive names as that of its files, on every system."""
_RECORD = (
    "setting", "seed", "steps", "minutes", "status", "step", "values", "images_seen", "training_seconds", "cpu_seconds",
    "replicas", "machine", "git_revision", "ended", REUSED_FROM,
)  # fmt: skip
"""Values of a record that the results read as they are."""
_LINE = (
    "step", "kind", "generator_weights", "num_samples", "steps_per_second", "images_per_second", DISTANCE_RATIO,
    "discriminator_loss", "generator_loss", "real_logits", "fake_logits", DURING_TRAINING,
)  # fmt: skip
"""Values of a line of a log that are kept, beside its metrics and gamma. The results do not read losses and mean
logits, but these show how a run ended. Other values may be paths."""
_STARTUP = ("parameters", "devices", "replicas")
_PLACE_OF_DATA = "/DATA"
_SIZE_OF_DATA = ("num_examples", "num_classes")
_RESUMED = re.compile(r"resumed at step \d+")


def write_archive(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the records of cells, with selected values and without paths of the machine.

    Equal records give equal archives with the same versions of Python and zlib.

    Args:
        directory: The directory of the study.
        outcomes: The outcomes of the cells.
    """
    files = dict(sorted(entry for outcome in outcomes for entry in _list_files(outcome)))
    if (directory / IMAGES).is_file():
        files[directory / IMAGES] = read_text(directory / IMAGES)
    with (
        replace_atomically(directory / ARCHIVE, shared=True) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for path, text in files.items():
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _DATE)
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)


def _list_files(outcome: Outcome) -> Iterator[tuple[Path, str]]:
    """Yield path and text of each file that the results of a cell are made of."""
    cell = outcome.cell
    path = cell.path_with_suffix(".json")
    if not path.is_file():
        return
    yield path, _format_json(_select_record_values(json.loads(read_text(path)), cell))
    log = cell.path_with_suffix(".log")
    if resumed := _RESUMED.findall(read_text(log, errors="replace")) if log.is_file() else []:
        yield log, "".join(f"{line}\n" for line in resumed)
    run = RunDirectory(cell.run_dir)
    if lines := _select_lines(read_run_records(cell.run_dir)):
        yield run.metrics, "".join(f"{json.dumps(_select_line_values(line))}\n" for line in lines)
    if startup := read_startup(cell.run_dir):
        data = _select(startup.get("data", {}), _SIZE_OF_DATA)
        yield run.startup, _format_json(_select(startup, _STARTUP) | ({"data": data} if data else {}))
    if versions := run.read_versions():
        yield run.versions, _format_json(versions)


def _select_record_values(record: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Select the values of a record that the results read, and replace paths.

    Those of options, which `--collect` compares, become absolute ones that are the same on every machine: relative ones
    would be resolved.
    """
    options = {name: hide_paths(value, f"/{name.upper()}") for name, value in record["configuration"].items()}
    # The data of all cells, unless the base or the setting names it.
    if f"--data_dir={record['configuration']['data_dir']}" in cell.flags:
        options["data_dir"] = _PLACE_OF_DATA
    selected = _select(record, _RECORD) | {"configuration": options}
    if "message" in record:
        selected["message"] = hide_paths_in_message(record["message"], cell.directory)
    return selected


def _select_lines(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Select the lines of a log that the results read."""
    evaluations = select_training_evaluations(lines)
    return [line for line in lines if line["kind"] != "evaluation" or line in evaluations]


def _select_line_values(line: Mapping[str, Any]) -> dict[str, Any]:
    """Select the values of a line of a log that are kept."""
    gamma = (name for name in line if name.startswith(GAMMA))
    return _select(line, [*_LINE, *line.get("num_samples", ()), *gamma])


def _select(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _format_json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"
