"""The origin of the weights that a run starts with, for the log and the run directory."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.fine_tuning.class_mapping import NO_CLASSES, ClassMapping
from sagan_tf.training.fine_tuning.weight_transfer import Transfer

_logger = logging.getLogger("sagan_tf")
_MAX_SHOWN = 10
_NEW_VALUES = "new values"


@dataclasses.dataclass(frozen=True)
class WeightOrigin:
    """The origin of the weights that a run starts with. It does not hold the weights.

    Attributes:
        init_from: The path of the source as the user gave it.
        kind: `checkpoint` or `export`.
        path: The absolute path of the checkpoint that was read, without the suffix of its files, or of the export.
        step: The step of the weights.
        num_source_classes: The number of classes of the source.
        source_names: The names of these classes; empty if they are not known.
        class_names: The names of the classes of the new run; empty without classes.
        mapping: The classes of the source that these classes start with.
        transfers: The origin of the variables of `generator`, `generator_ema` and `discriminator`.
        absent: Names of the networks that the source does not have.
        computed: Paths of copied variables that were computed from the weights of the source, by network.
        frozen: The variables of the discriminator that are not trained.
    """

    init_from: str
    kind: str
    path: str
    step: int
    num_source_classes: int
    source_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mapping: ClassMapping
    transfers: dict[str, Transfer]
    absent: tuple[str, ...]
    computed: dict[str, tuple[str, ...]]
    frozen: tuple[str, ...]

    @property
    def present(self) -> dict[str, Transfer]:
        """The transfers of the networks that the source has."""
        return {name: transfer for name, transfer in self.transfers.items() if name not in self.absent}


def record_origin(origin: WeightOrigin | None, run_directory: RunDirectory) -> None:
    """Log the origin of the weights, and write it to `initialization.json`.

    Args:
        origin: The origin. None writes nothing: the run began with random weights, or is resumed.
        run_directory: The directory that this worker writes.
    """
    if origin is None:
        return
    for line in describe_origin(origin):
        _logger.info("%s", line)
    record = {
        "init_from": origin.init_from,
        "kind": origin.kind,
        "path": origin.path,
        "step": origin.step,
        "classes": _describe_classes(origin),
        "networks": {
            name: _describe_transfer(transfer, origin.computed.get(name, ()))
            for name, transfer in origin.transfers.items()
        },
        "frozen": origin.frozen,
    }
    run_directory.write_json(run_directory.initialization, record)


def describe_origin(origin: WeightOrigin) -> list[str]:
    """Return lines for the log that describe the origin of the weights."""
    counts = [
        f"{name} {len(transfer.copied) + len(transfer.mapped)} of "
        f"{len(transfer.copied) + len(transfer.mapped) + len(transfer.initialized)}"
        for name, transfer in origin.present.items()
    ]
    lines = [f"variables from {origin.init_from}, step {origin.step}: {', '.join(counts)}"]
    lines += _list_class_lines(origin)
    new = [f"{name} {path}" for name, transfer in origin.present.items() for path in transfer.initialized]
    if new:
        lines.append(f"variables with new values: {_shorten(new)}")
    if origin.frozen:
        layers = dict.fromkeys(path.partition("/")[0] for path in origin.frozen)
        lines.append(f"frozen in the discriminator: {', '.join(layers)}")
    return lines


def _list_class_lines(origin: WeightOrigin) -> list[str]:
    """Return lines that describe the class tables."""
    lines = []
    if mapped := [name for name, transfer in origin.present.items() if transfer.mapped]:
        sources = [
            f"{name} from {row['source'] or 'the mean of all classes'} ({row['method']})"
            for name, row in _describe_classes(origin).items()
        ]
        text = _shorten(sources)
        if not origin.class_names:
            text = "the mean of all classes of the source, because this run has no classes"
        elif not origin.num_source_classes:
            text = "the same values for every class, because the source has no classes"
        lines.append(f"classes in {', '.join(mapped)}: {text}")
    if new := [name for name, transfer in origin.present.items() if transfer.new_tables]:
        lines.append(f"class tables without a counterpart in the source, in {', '.join(new)}: {_NEW_VALUES}")
    return lines


def _describe_classes(origin: WeightOrigin) -> dict[str, dict[str, Any]]:
    """Return the source of each class of the run, and how it was found."""
    if not any(transfer.mapped for transfer in origin.transfers.values()):
        return {name: {"source": None, "method": _NEW_VALUES} for name in origin.class_names}
    if not origin.num_source_classes:
        return {name: {"source": None, "method": NO_CLASSES} for name in origin.class_names}
    rows = zip(origin.class_names, origin.mapping.rows, origin.mapping.methods, strict=bool(origin.class_names))
    return {name: {"source": _name_class(origin, row), "method": method} for name, row, method in rows}


def _name_class(origin: WeightOrigin, row: int | None) -> str | None:
    """Return the name of a class of the source, or its number if names are not known; None for the mean."""
    if row is None:
        return None
    return origin.source_names[row] if origin.source_names else str(row)


def _describe_transfer(transfer: Transfer, computed: tuple[str, ...]) -> dict[str, Any]:
    return {
        "copied": [path for path in transfer.copied if path not in computed],
        "computed": [path for path in transfer.copied if path in computed],
        "mapped": transfer.mapped,
        "initialized": transfer.initialized,
        "unused": transfer.unused,
    }


def _shorten(values: list[str]) -> str:
    more = len(values) - _MAX_SHOWN
    return ", ".join(values[:_MAX_SHOWN]) + (f" and {more} more (initialization.json lists all)" if more > 0 else "")
