"""The page of a study in Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from sagan_tf.training.health.signs import DISTANCE_RATIO, MIN_DISTANCE_RATIO
from tools.ablations.archive import ARCHIVE
from tools.ablations.base_record import read_experiment_record
from tools.ablations.comparison_table import describe_power, make_comparisons_table
from tools.ablations.comparisons import compare_settings
from tools.ablations.metric_text import MAX_HEADLINE_METRICS
from tools.ablations.networks_table import make_networks_table
from tools.ablations.outcomes import BEST, COLLAPSE_RATIO, LAST, Outcome, describe_ending, group_by_setting
from tools.ablations.plan import Plan
from tools.ablations.portable import format_portable_commands, hide_paths_in_message
from tools.ablations.reused_runs import describe_reused_runs
from tools.ablations.scales import RATIO
from tools.ablations.setup_table import find_unequal_replicas, make_options_table, make_setup_table
from tools.ablations.studies import Study
from tools.ablations.tables import format_markdown, make_cost_table, make_metrics_table
from tools.comparisons.metric_headings import get_heading
from tools.comparisons.records import FINISHED
from tools.comparisons.summaries import format_count
from tools.repository import ROOT

_MOMENTS = {LAST: "Last step", BEST: "Best step"}
"""Headings of the moments. The last step is the first, because it is not chosen by its metrics."""
_SHOWN_HEADINGS = ("Differs", "Data")
"""Parts of the experiment record of the base that the page shows."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart or an image of the page.

    Attributes:
        name: Name of the file, which is in the directory of the page.
        heading: Heading, and alternative text.
        caption: Text below it; may be empty.
    """

    name: str
    heading: str
    caption: str


def format_page(plan: Plan, outcomes: Sequence[Outcome], figures: Sequence[Figure], image_notes: Sequence[str]) -> str:
    """Format the page of a study.

    It has no paths of the machine, so that it can be published.

    Args:
        plan: The plan of the study.
        outcomes: The outcomes of all cells.
        figures: Charts and images.
        image_notes: A line for each run or setting that lacks images, with the reason.
    """
    return "\n\n".join(_format_sections(plan, outcomes, figures, image_notes)) + "\n"


def _format_sections(
    plan: Plan, outcomes: Sequence[Outcome], figures: Sequence[Figure], image_notes: Sequence[str]
) -> Iterator[str]:
    yield f"# {_format_title(plan)}"
    if plan.study.introduction:
        yield plan.study.introduction
    yield (
        "Metrics of every run: [results.csv](results.csv). Differences of all pairs of settings and all metrics: "
        f"[differences.csv](differences.csv). Records of all runs: [{ARCHIVE}]({ARCHIVE})."
    )
    notes = [*plan.notes, *describe_reused_runs(outcomes), *find_unequal_replicas(outcomes)]
    if notes:
        yield _format_list(notes)
    yield from _format_metrics(plan.metric, outcomes)
    yield from _format_endings(outcomes)
    yield from _format_comparisons(plan, outcomes)
    for figure in figures:
        yield f"## {figure.heading}\n\n![{figure.heading}]({figure.name})"
        if figure.caption:
            yield figure.caption
    if image_notes:
        yield f"## Images that are left out\n\n{_format_list(image_notes)}"
    yield from _format_setup(plan, outcomes)
    yield from _format_cost(outcomes)
    yield (
        "## Commands\n\nTraining and evaluation of each setting with its first seed; `DATA` is the directory of the "
        "data. They were run in the directory of the sources, with other places for the results:"
    )
    cells = [group[0].cell for group in group_by_setting(outcomes).values()]
    yield "```bash\n" + "\n".join(line for cell in cells for line in format_portable_commands(cell)) + "\n```"


def _format_title(plan: Plan) -> str:
    """Return the title of the study with the base, which says what the data is, and the size of its images."""
    sizes = sorted({cell.config.model.resolution for cell in plan.cells})
    return f"{plan.study.title} ({Path(plan.base).stem}, {' and '.join(map(str, sizes))} px)"


def _format_setup(plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"## Setup\n\n{format_markdown(make_setup_table(plan, outcomes))}"
    record = read_experiment_record(ROOT / plan.base)
    for heading in _SHOWN_HEADINGS:
        if heading in record:
            text = hide_paths_in_message(record[heading], plan.directory)
            yield f"**{heading}** (of the base as it is; the study replaces some of its options): {text}"
    options = make_options_table(plan)
    if len(options) > 1:
        yield f"### Options in which settings differ\n\n{format_markdown(options)}"
    yield f"### Networks\n\n{format_markdown(make_networks_table(plan, outcomes))}"


def _format_list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _format_metrics(metric: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "## Metrics"
    for moment, heading in _MOMENTS.items():
        yield f"### {heading}"
        yield format_markdown(make_metrics_table(outcomes, metric, moment))
    name = get_heading(metric)
    yield (
        "Mean ± standard deviation over the seeds; `n` marks a mean over fewer runs. Bold: the best mean among "
        f"settings whose runs all have a value. At most {MAX_HEADLINE_METRICS} metrics are shown. Died: training "
        f"stopped the run, which then has no last step. Collapsed: {name} at the last step is more than "
        f"{COLLAPSE_RATIO:g} times that at the best step; `-` if no run has finished with an evaluation before its "
        "end. A run whose images were never good has not collapsed by this rule. Similar samples: in the last health "
        f"check of the run, also of one that died, `{DISTANCE_RATIO}` is below {MIN_DISTANCE_RATIO:g}; `-` if no run "
        f"that has ended has this value. The best step of a run has its lowest {name} and is chosen with the same "
        "reference images that give its metrics, so that these are optimistic."
    )


def _format_endings(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a list of the runs that died, and one of those that have not ended."""
    died = [outcome for outcome in outcomes if outcome.has_died]
    others = [outcome for outcome in outcomes if outcome.status != FINISHED and not outcome.has_died]
    for heading, listed in (("Runs that died", died), ("Runs that are not finished", others)):
        if listed:
            yield f"## {heading}"
            yield _format_list([f"{outcome.cell.name}: {describe_ending(outcome)}" for outcome in listed])


def _format_comparisons(plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[str]:
    if len(plan.study.settings) < 2:
        return
    yield "## Comparisons"
    if not plan.study.pairs:
        yield "No pair that the study names has both of its settings here."
        return
    name = get_heading(plan.metric)
    yield (
        f"The ratio is {name} of the second setting divided by that of the first, as geometric means over the seeds, "
        "with a paired t-test of the logarithms: below 1, the second is better. The means in the table are arithmetic, "
        "so that their quotient differs from the ratio. Holm's method adjusts p for "
        f"{_describe_family(plan.study)}, including those that have no p. The intervals are not adjusted. The last "
        "step is the primary comparison. A run that died counts at the best step, with its best evaluation. If it has "
        "no value, the row shows, in place of the ratio, how many of the runs that have ended died, first against "
        "second setting, with p of Fisher's exact test (two-sided, not adjusted)."
    )
    for moment, heading in _MOMENTS.items():
        comparisons = compare_settings(outcomes, plan.study.pairs, plan.metric, moment, RATIO)
        yield f"### {heading}: {name}"
        yield format_markdown(make_comparisons_table(comparisons, plan.metric))
        yield describe_power(comparisons)


def _describe_family(study: Study) -> str:
    """Return the number of pairs that are compared, and that of all pairs that the study names if it is larger."""
    compared, named = len(study.pairs), len(study.named_pairs)
    if named > compared:
        return f"{compared} of the {named} pairs of the study, those with both settings here"
    return format_count(compared, "pair")


def _format_cost(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "## Cost"
    yield format_markdown(make_cost_table(outcomes))
    yield (
        "Mean ± standard deviation over all cells that have been started, also those that died or are not finished; "
        "the last row is the sum. Training: seconds of the training steps, without tracing, evaluation and saving. "
        "CPU: processor seconds of the training processes, with all of these, but without processes that are running "
        "or were killed. Both are without the evaluation at the end. Images seen: real images that the discriminator "
        "has seen. Runs of other studies count as if they had been trained here. How many cells ran at the same time "
        "is not recorded."
    )
