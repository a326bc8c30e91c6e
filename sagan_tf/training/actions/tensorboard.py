"""Scalars, configuration and custom charts in TensorBoard.

No other module imports TensorBoard's plugins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hparams

from sagan_tf.config import Config, get_option_fields, get_option_values
from sagan_tf.text import make_printable
from sagan_tf.visualization.charts import CHARTS

_MAIN_METRICS = ("discriminator_loss", "generator_loss", "images_per_second")


def write_run_metadata(writer: tf.summary.SummaryWriter, config: Config) -> None:
    """Write the configuration and the layout of the custom charts.

    The configuration is written as text and as HParams.

    Args:
        writer: The TensorBoard writer.
        config: The run.
    """
    with writer.as_default(step=0):
        tf.summary.text("configuration", _format_table(config))
        tf.summary.experimental.write_raw_pb(custom_scalar.pb(_create_layout()).SerializeToString())
        metrics = [*_MAIN_METRICS, *(f"evaluation/{name}" for name in config.evaluation.metrics)]
        hparams.hparams_config(
            [hparams.HParam(name) for name in _select_hyperparameters(config)], list(map(hparams.Metric, metrics))
        )
        hparams.hparams(_select_hyperparameters(config), trial_id=config.training.run_dir)
    writer.flush()


@contextlib.contextmanager
def at_step(writer: tf.summary.SummaryWriter, step: int) -> Iterator[None]:
    """Set the step of the summaries in this context, and flush them at its end.

    Numbers that change have to be NumPy numbers: TensorFlow caches a tensor of every Python number (`numpy.float64` is
    one too) until the program ends. That took 30 kB for each line of scalars.

    Args:
        writer: The TensorBoard writer.
        step: The step.
    """
    with writer.as_default(step=np.int64(step)):
        yield
    writer.flush()


def write_scalars(writer: tf.summary.SummaryWriter, step: int, scalars: Mapping[str, float]) -> None:
    """Write scalars by name."""
    with at_step(writer, step):
        for name, value in scalars.items():
            tf.summary.scalar(name, np.float32(value))


def _create_layout() -> layout_pb2.Layout:
    categories = []
    for title, charts in CHARTS.items():
        chart_protos = [
            layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=list(tags)))
            for name, tags in charts.items()
        ]
        categories.append(layout_pb2.Category(title=title, chart=chart_protos))
    return layout_pb2.Layout(category=categories)


def _select_hyperparameters(config: Config) -> dict[str, bool | int | float | str]:
    """Return every hyperparameter that influences the weights, with lists as text."""
    fields, values = get_option_fields(), get_option_values(config)
    names = [name for name, (_, field) in fields.items() if not field.metadata["changeable"]]
    return {name: _to_plain_value(values[name]) for name in names}


def _to_plain_value(value: object) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    return make_printable(",".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _format_table(config: Config) -> str:
    """Return a Markdown table of all flags.

    Flags that differ from their defaults come first, in bold.
    """
    fields, values = get_option_fields(), get_option_values(config)
    changed = [name for name in fields if values[name] != fields[name][1].default]
    rows = [f"| **{name}** | **{_format_cell(values[name])}** |" for name in changed]
    rows += [f"| {name} | {_format_cell(values[name])} |" for name in fields if name not in changed]
    return "\n".join(["| flag | value |", "|---|---|", *rows])


def _format_cell(value: object) -> str:
    text = "empty" if value in ("", ()) else str(_to_plain_value(value))
    return text.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
