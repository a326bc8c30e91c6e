"""What TensorBoard shows beside curves and pictures: the configuration, what runs differ in, and a page that opens on
what matters. The only door to TensorBoard's plugins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hparams

from sagan_tf.config import Config, option_fields, option_values
from sagan_tf.text import printable
from sagan_tf.visualization.charts import CHARTS

_WATCHED = ("discriminator_loss", "generator_loss", "images_per_second")


def write_introduction(writer: tf.summary.SummaryWriter, config: Config) -> None:
    """Write the configuration as text and as HParams, and the layout of the Custom Scalars page."""
    with writer.as_default(step=0):
        tf.summary.text("configuration", _as_table(config))
        tf.summary.experimental.write_raw_pb(custom_scalar.pb(_layout()).SerializeToString())
        metrics = [*_WATCHED, *(f"evaluation/{name}" for name in config.evaluation.metrics)]
        hparams.hparams_config([hparams.HParam(name) for name in _compared(config)], list(map(hparams.Metric, metrics)))
        hparams.hparams(_compared(config), trial_id=config.training.run_dir)
    writer.flush()


@contextlib.contextmanager
def at_step(writer: tf.summary.SummaryWriter, step: int) -> Iterator[None]:
    """A context in which summaries are written as of a step; they are in the file at its end.

    Numbers that are new every time have to be NumPy's: of every Python number (`numpy.float64` is one too) that
    TensorFlow makes a tensor of, it keeps that tensor until the program ends. That was 30 kB for each line of scalars.
    """
    with writer.as_default(step=np.int64(step)):
        yield
    writer.flush()


def write_scalars(writer: tf.summary.SummaryWriter, step: int, scalars: Mapping[str, float]) -> None:
    """Write numbers by name."""
    with at_step(writer, step):
        for name, value in scalars.items():
            tf.summary.scalar(name, np.float32(value))


def _layout() -> layout_pb2.Layout:
    categories = []
    for title, charts in CHARTS.items():
        as_charts = [
            layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=list(tags)))
            for name, tags in charts.items()
        ]
        categories.append(layout_pb2.Category(title=title, chart=as_charts))
    return layout_pb2.Layout(category=categories)


def _compared(config: Config) -> dict[str, bool | int | float | str]:
    """Return what runs may differ in: every hyper-parameter that decides the weights. Lists are written out."""
    fields, values = option_fields(), option_values(config)
    names = [name for name, (_, field) in fields.items() if not field.metadata["changeable"]]
    return {name: _plain(values[name]) for name in names}


def _plain(value: object) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    return printable(",".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _as_table(config: Config) -> str:
    """Return every flag as a table in Markdown, those that differ from their defaults first and in bold."""
    fields, values = option_fields(), option_values(config)
    changed = [name for name in fields if values[name] != fields[name][1].default]
    rows = [f"| **{name}** | **{_cell(values[name])}** |" for name in changed]
    rows += [f"| {name} | {_cell(values[name])} |" for name in fields if name not in changed]
    return "\n".join(["| flag | value |", "|---|---|", *rows])


def _cell(value: object) -> str:
    text = "empty" if value in ("", ()) else str(_plain(value))
    return text.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
