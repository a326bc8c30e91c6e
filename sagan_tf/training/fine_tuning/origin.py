"""The origin of the weights that a run starts with, for the log and the run directory."""

from __future__ import annotations

import dataclasses
import logging

from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.fine_tuning.class_mapping import ClassMapping
from sagan_tf.training.fine_tuning.source_run import SourceRun
from sagan_tf.training.fine_tuning.weight_transfer import Transfer

_logger = logging.getLogger("sagan_tf")
_MAX_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Origin:
    """The origin of the weights that a run starts with.

    Attributes:
        source: The trained run.
        class_names: The names of the classes of the new run; empty without classes.
        mapping: The classes of the source that these classes start with.
        transfers: The origin of the variables of `generator`, `generator_ema` and `discriminator`.
        frozen: The variables of the discriminator that are not trained.
    """

    source: SourceRun
    class_names: tuple[str, ...]
    mapping: ClassMapping
    transfers: dict[str, Transfer]
    frozen: tuple[str, ...]


def record_origin(origin: Origin | None, run_directory: RunDirectory) -> None:
    """Log the origin of the weights, and write it to `initialization.json`.

    Args:
        origin: The origin. None writes nothing: the run began with random weights, or is resumed.
        run_directory: The directory that this worker writes.
    """
    if origin is None:
        return
    for line in describe_origin(origin):
        _logger.info("%s", line)
    classes = {
        name: {"source": None if row is None else _name_class(origin.source, row), "method": method}
        for name, row, method in _list_classes(origin)
    }
    record = {
        "init_from": origin.source.path,
        "step": origin.source.step,
        "classes": classes,
        "networks": {name: dataclasses.asdict(transfer) for name, transfer in origin.transfers.items()},
        "frozen": origin.frozen,
    }
    run_directory.write_json(run_directory.initialization, record)


def describe_origin(origin: Origin) -> list[str]:
    """Return lines for the log that describe the origin of the weights."""
    source = origin.source
    counts = [
        f"{name} {len(transfer.copied) + len(transfer.mapped)} of "
        f"{len(transfer.copied) + len(transfer.mapped) + len(transfer.initialized)}"
        for name, transfer in origin.transfers.items()
    ]
    lines = [f"variables from {source.path}, step {source.step}: {', '.join(counts)}"]
    classes = [
        f"{name} from {'the mean of all classes' if row is None else _name_class(source, row)} ({method})"
        for name, row, method in _list_classes(origin)
    ]
    new = [f"{name} {path}" for name, transfer in origin.transfers.items() for path in transfer.initialized]
    parts = {"classes": classes, "variables that are not in the source with this shape": new}
    lines += [f"{heading}: {_shorten(values)}" for heading, values in parts.items() if values]
    if origin.frozen:
        layers = dict.fromkeys(path.partition("/")[0] for path in origin.frozen)
        lines.append(f"frozen in the discriminator: {', '.join(layers)}")
    return lines


def _list_classes(origin: Origin) -> list[tuple[str, int | None, str]]:
    # A run without classes has no names, but one row.
    mapping = origin.mapping
    return list(zip(origin.class_names, mapping.rows, mapping.methods, strict=bool(origin.class_names)))


def _name_class(source: SourceRun, row: int) -> str:
    """Return the name of a class of the source, or its number if names are not known."""
    return source.class_names[row] if source.class_names else str(row)


def _shorten(values: list[str]) -> str:
    more = len(values) - _MAX_SHOWN
    return ", ".join(values[:_MAX_SHOWN]) + (f" and {more} more (initialization.json lists all)" if more > 0 else "")
