"""Results of a study: a page in Markdown, CSV files, charts and images, from the stored runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from sagan_tf.files import replace_atomically
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from tools.ablations import tables
from tools.ablations.curves import draw_gamma_chart, draw_metric_charts
from tools.ablations.images import SAMPLES, write_images
from tools.ablations.outcomes import Outcome, group_by_setting, read_outcomes
from tools.ablations.paired_test import compute_t_quantile
from tools.ablations.plan import Plan
from tools.ablations.tables import BEST, LAST
from tools.comparisons.records import FINISHED

RESULTS = "results.md"


def write_results(plan: Plan) -> list[Outcome]:
    """Write `results.md` and the files that it shows, and return the outcomes of all cells.

    Several processes may write the results of one directory at the same time.

    Raises:
        UserError: A record is damaged, or has another configuration or other steps.
    """
    outcomes = read_outcomes(plan.cells, plan.metric)
    _write(plan.directory / "results.csv", tables.format_cells_csv(outcomes))
    _write(plan.directory / "differences.csv", tables.format_differences_csv(outcomes))
    _write(plan.directory / "commands.txt", "".join(f"{line}\n" for line in list_commands(plan)))
    charts = {"curves.svg": draw_metric_charts(outcomes), "gamma.svg": draw_gamma_chart(outcomes)}
    for name, chart in charts.items():
        if chart:
            _write(plan.directory / name, chart)
    images = write_images(outcomes, plan.directory)
    shown = [name for name, chart in charts.items() if chart] + images
    _write(plan.directory / RESULTS, "\n\n".join(_format_sections(plan, outcomes, shown)) + "\n")
    return outcomes


def list_commands(plan: Plan) -> Iterator[str]:
    """Yield the commands that train and evaluate each cell."""
    for cell in plan.cells:
        yield shlex.join(cell.create_train_command())
        yield shlex.join(cell.create_evaluate_command())


def _write(path: Path, content: str) -> None:
    with replace_atomically(path, shared=True) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _format_sections(plan: Plan, outcomes: Sequence[Outcome], shown: Sequence[str]) -> Iterator[str]:
    yield f"# {plan.study.name}"
    yield "```text\n" + plan.study.description + "\n```"
    yield _describe_setup(plan)
    if plan.notes:
        yield "\n".join(f"- {note}" for note in plan.notes)
    metric = tables.get_heading(plan.metric)
    yield f"## Metrics\n\nMean ± standard deviation over the seeds. Best step of each run, by {metric}:"
    yield tables.format_markdown(tables.make_metrics_table(outcomes, BEST))
    yield "Last step:"
    yield tables.format_markdown(tables.make_metrics_table(outcomes, LAST))
    ended = [f"- {outcome.cell.describe(dict(outcome.record))}" for outcome in outcomes if _has_message(outcome)]
    if ended:
        yield "Runs that did not finish:\n\n" + "\n".join(ended)
    yield from _format_differences(outcomes, plan.metric)
    yield from _format_images(shown)
    yield "## Cost"
    yield tables.format_markdown(tables.make_cost_table(outcomes))
    yield _describe_machines(outcomes)
    yield "## Commands\n\nAll commands are in `commands.txt`. Training of each setting with seed 0:"
    trained = [shlex.join(cells[0].cell.create_train_command()) for cells in group_by_setting(outcomes).values()]
    yield "```bash\n" + "\n".join(trained) + "\n```"


def _describe_setup(plan: Plan) -> str:
    cell, config = plan.cells[0], plan.base_config
    seeds = len({cell.seed for cell in plan.cells})
    data = f"{config.data.dataset}{f' in {config.data.data_dir}' if config.data.data_dir else ''}"
    return (
        f"Base `{plan.base}`; data {data}, {config.model.resolution} px; {cell.num_steps:,} steps of training; "
        f"seeds 0 to {seeds - 1}."
    )


def _has_message(outcome: Outcome) -> bool:
    return outcome.status != FINISHED and "message" in outcome.record


def _format_differences(outcomes: Sequence[Outcome], metric: str) -> Iterator[str]:
    first, *others = group_by_setting(outcomes)
    if not others:
        return
    count = len({outcome.cell.seed for outcome in outcomes})
    yield "## Differences"
    yield f"Difference of {tables.get_heading(metric)} from {first}, seed by seed, by a paired t-test."
    if count > 1:
        yield (
            f"With {count} seeds, p is below 0.05 only if |t| is above {compute_t_quantile(count - 1):.2f}. The p "
            "values are not corrected for the number of comparisons. `differences.csv` has every pair of settings and "
            "every metric."
        )
    for name, moment in (("Best", BEST), ("Last", LAST)):
        yield f"{name} step:"
        yield tables.format_markdown(tables.make_differences_table(outcomes, metric, moment))


def _format_images(shown: Sequence[str]) -> Iterator[str]:
    headings = {
        "curves.svg": "Curves: mean over the seeds that reached a step, with a band of one standard deviation",
        "gamma.svg": "Gamma of each attention layer over training",
        SAMPLES: "Samples of the last checkpoint of the first seed, with the same seeds and classes in all settings",
    }
    for name in shown:
        heading = headings.get(name, f"Attention maps: {Path(name).stem.removeprefix('attention_')}")
        yield f"## {heading}\n\n![{heading}]({name})"


def _describe_machines(outcomes: Sequence[Outcome]) -> str:
    machines = dict.fromkeys(
        f"{outcome.record['machine']}; {_read_devices(outcome)}" for outcome in outcomes if "machine" in outcome.record
    )
    return "Machine: " + (" / ".join(machines) or "no run has been started")


def _read_devices(outcome: Outcome) -> str:
    path = RunDirectory(str(outcome.cell.run_dir)).path / "startup.json"
    try:
        devices = json.loads(read_text(path))["devices"]
    except (OSError, ValueError, KeyError):
        return "devices not recorded"
    return ", ".join(device.rpartition("device:")[2] for device in devices)
