"""Results of a study: a page in Markdown, CSV files, charts and images, from the stored runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sagan_tf.files import replace_atomically
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text
from tools.ablations import tables
from tools.ablations.curves import draw_gamma_chart, draw_metric_charts
from tools.ablations.images import SAMPLES, write_images
from tools.ablations.outcomes import BEST, LAST, Outcome, group_by_setting, read_outcomes
from tools.ablations.plan import Plan
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
    _write(
        plan.directory / "commands.txt", "".join(f"{line}\n" for cell in plan.cells for line in cell.format_commands())
    )
    charts = {"curves.svg": draw_metric_charts(outcomes), "gamma.svg": draw_gamma_chart(outcomes)}
    for name, chart in charts.items():
        if chart:
            _write(plan.directory / name, chart)
    shown = [name for name, chart in charts.items() if chart]
    # The page is complete but for the images if these cannot be made.
    _write_page(plan, outcomes, shown, [])
    images = write_images(outcomes, plan.directory)
    _write_page(plan, outcomes, shown + images.names, images.notes)
    return outcomes


def _write_page(plan: Plan, outcomes: Sequence[Outcome], shown: Sequence[str], notes: Sequence[str]) -> None:
    _write(plan.directory / RESULTS, "\n\n".join(_format_sections(plan, outcomes, shown, notes)) + "\n")


def _write(path: Path, content: str) -> None:
    with replace_atomically(path, shared=True) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _format_sections(
    plan: Plan, outcomes: Sequence[Outcome], shown: Sequence[str], image_notes: Sequence[str]
) -> Iterator[str]:
    yield f"# {plan.study.name}"
    yield "```text\n" + plan.study.description + "\n```"
    yield _describe_setup(plan)
    if plan.notes:
        yield "\n".join(f"- {note}" for note in plan.notes)
    metric = tables.get_heading(plan.metric)
    yield (
        "## Metrics\n\nMean ± standard deviation over the seeds; n is the number of runs in a mean that lacks some. "
        f"Best step of each run, by {metric}:"
    )
    yield tables.format_markdown(tables.make_metrics_table(outcomes, BEST))
    yield (
        "Runs that died before their first evaluation are not in these means. The best step is chosen with the same "
        "reference images that give its metrics, so that its metrics are optimistic."
    )
    yield "Last step:"
    yield tables.format_markdown(tables.make_metrics_table(outcomes, LAST))
    yield "Runs that died are not in these means."
    ended = [f"- {outcome.cell.describe(dict(outcome.record))}" for outcome in outcomes if _has_message(outcome)]
    if ended:
        yield "Runs that have not finished:\n\n" + "\n".join(ended)
    yield from _format_differences(outcomes, plan.metric)
    yield from _format_images(shown)
    if image_notes:
        yield "Runs in the images:\n\n" + "\n".join(f"- {note}" for note in image_notes)
    yield "## Cost"
    yield tables.format_markdown(tables.make_cost_table(outcomes))
    yield _describe_machines(outcomes)
    yield "## Commands\n\nAll commands are in `commands.txt`. Training of each setting with seed 0:"
    trained = [cells[0].cell.format_commands()[0] for cells in group_by_setting(outcomes).values()]
    yield "```bash\n" + "\n".join(trained) + "\n```"


def _describe_setup(plan: Plan) -> str:
    cell, config = plan.cells[0], plan.base_config
    last = max(cell.seed for cell in plan.cells)
    data = f"{config.data.dataset}{f' in {config.data.data_dir}' if config.data.data_dir else ''}"
    return (
        f"Base `{plan.base}`; data {data}, {config.model.resolution} px; {cell.num_steps:,} steps of training; "
        f"{f'seeds 0 to {last}' if last else 'seed 0'}."
    )


def _has_message(outcome: Outcome) -> bool:
    return outcome.status != FINISHED and "message" in outcome.record


def _format_differences(outcomes: Sequence[Outcome], metric: str) -> Iterator[str]:
    first, *others = group_by_setting(outcomes)
    if not others:
        return
    yield "## Differences"
    yield (
        f"Difference of {tables.get_heading(metric)} from {first}, seed by seed, by a paired t-test. A seed counts "
        "only if both of its runs have a value: runs that died are not in the differences at the last step, and those "
        "that died before their first evaluation are in none. The p values are not corrected for the number of "
        "comparisons. `differences.csv` has every pair of settings and every metric."
    )
    for name, moment in (("Best", BEST), ("Last", LAST)):
        yield f"{name} step:"
        yield tables.format_markdown(tables.make_differences_table(outcomes, metric, moment))


def _format_images(shown: Sequence[str]) -> Iterator[str]:
    headings = {
        "curves.svg": "Curves: mean over all seeds with a band of one standard deviation, to the end of the first run",
        "gamma.svg": "Gamma of each attention layer over training",
        SAMPLES: "Samples of the last checkpoint of a run, from the same latents and classes in all settings",
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
