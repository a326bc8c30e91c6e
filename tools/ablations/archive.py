"""Archive of the records of a study, from which `--collect` writes the same results on another machine."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagan_tf.files import replace_atomically
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from tools.ablations.outcomes import Outcome
from tools.ablations.portable import hide_paths, hide_paths_in_message, make_flag_portable
from tools.ablations.startups import read_startup
from tools.comparisons.cells import Cell
from tools.comparisons.records import read_run_records

ARCHIVE = "records.zip"
IMAGES = "images.json"
"""Description of the images, which cannot be made without checkpoints."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of all files in the archive, the first that a zip file can have, so that equal records give equal archives."""
_NOT_READ = ("sigma/", "formulas")
"""Beginnings of the names of values that no result shows: they are most of a log."""
_IMAGES_OF_METRICS = ("reference", "held_out")
_DIGEST = ("fingerprint", "num_samples")
"""Values about the images with which a metric compares. The others may be paths."""
_STARTUP = ("parameters", "devices", "replicas")
_PLACE_OF_DATA = "/DATA"
_DATA = ("num_examples", "num_classes")
_RESUMED = re.compile(r"resumed at step \d+")


def write_archive(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the records of cells, without paths of the machine, checkpoints and what no result shows.

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
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)


def _list_files(outcome: Outcome) -> Iterator[tuple[Path, str]]:
    """Yield path and text of each file that the results of a cell are made of."""
    cell = outcome.cell
    path = cell.path_with_suffix(".json")
    if not path.is_file():
        return
    yield path, _format_json(_hide_paths_in_record(json.loads(read_text(path)), cell))
    log = cell.path_with_suffix(".log")
    if resumed := _RESUMED.findall(read_text(log, errors="replace")) if log.is_file() else []:
        yield log, "".join(f"{line}\n" for line in resumed)
    run = RunDirectory(cell.run_dir)
    if lines := read_run_records(cell.run_dir):
        yield run.metrics, "".join(f"{json.dumps(_select_values(line, cell))}\n" for line in lines)
    if startup := read_startup(outcome):
        kept = {name: startup[name] for name in _STARTUP if name in startup}
        data = {name: value for name, value in startup.get("data", {}).items() if name in _DATA}
        yield run.startup, _format_json(kept | ({"data": data} if data else {}))
    if versions := run.read_versions():
        yield run.versions, _format_json(versions)


def _hide_paths_in_record(record: dict[str, Any], cell: Cell) -> dict[str, Any]:
    """Replace paths in a record.

    Those of options, which `--collect` compares, become absolute ones that are the same on every machine: relative ones
    would be resolved.
    """
    options = {name: hide_paths(value, f"/{name.upper()}") for name, value in record["configuration"].items()}
    if options["data_dir"]:
        options["data_dir"] = _PLACE_OF_DATA
    hidden: dict[str, Any] = {"configuration": options}
    hidden["flags"] = [make_flag_portable(flag, cell.directory) for flag in record["flags"]]
    return _hide_in_texts(record, cell) | hidden


def _select_values(line: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Select the values in a line of a log that may be published; those of the images of a metric are a digest."""
    selected = {name: value for name, value in line.items() if not name.startswith(_NOT_READ)}
    for name in _IMAGES_OF_METRICS:
        if isinstance(selected.get(name), dict):
            selected[name] = {part: value for part, value in selected[name].items() if part in _DIGEST}
    return _hide_in_texts(selected, cell)


def _hide_in_texts(values: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    return {
        name: hide_paths_in_message(value, cell.directory) if isinstance(value, str) else value
        for name, value in values.items()
    }


def _format_json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"
