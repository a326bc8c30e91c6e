"""Results of a study: a page in Markdown, CSV files, charts, images and an archive, from the stored runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sagan_tf.files import replace_atomically
from sagan_tf.runs.run_directory import RunDirectory
from tools.ablations.archive import write_archive
from tools.ablations.comparisons import format_comparisons_csv
from tools.ablations.curves import draw_gamma_chart, draw_metric_chart
from tools.ablations.images import MAX_SEEDS, SAMPLES, write_images
from tools.ablations.last_step_chart import draw_last_step_chart
from tools.ablations.outcomes import Outcome, read_outcomes
from tools.ablations.page import Figure, format_page
from tools.ablations.plan import Plan
from tools.ablations.study_images import IMAGES, StudyImages, read_study_images, write_study_images
from tools.ablations.tables import format_cells_csv

RESULTS = "results.md"


def write_results(plan: Plan) -> None:
    """Write `results.md` and the files that it shows.

    Several processes may write the results of one directory at the same time.

    Raises:
        UserError: A record is damaged, or has another configuration or other steps, or the description of the images is
            damaged.
    """
    outcomes = read_outcomes(plan.cells, plan.metric)
    stored = _read_images_to_keep(plan)
    _write(plan.directory / "results.csv", format_cells_csv(outcomes))
    _write(plan.directory / "differences.csv", format_comparisons_csv(outcomes, plan.study.pairs, plan.metric))
    commands = "".join(f"{line}\n" for cell in plan.cells for line in cell.format_commands())
    _write(plan.directory / "commands.txt", commands)
    figures = _write_charts(plan, outcomes)
    # Page and archive are complete but for the images if these cannot be made.
    write_archive(plan.directory, outcomes)
    _write(plan.directory / RESULTS, format_page(plan, outcomes, figures, []))
    images = stored or write_images(outcomes, plan.metric, plan.directory)
    if not stored:
        write_study_images(plan.directory / IMAGES, images)
    _write(
        plan.directory / RESULTS, format_page(plan, outcomes, figures + _describe_images(images.names), images.notes)
    )
    write_archive(plan.directory, outcomes)


def _read_images_to_keep(plan: Plan) -> StudyImages | None:
    """Return the stored images, without those whose files are missing; None if images can be made.

    They can be made from checkpoints. Runs that have left none, unlike records from an archive, have their flags: the
    reasons why their images are left out may have changed.

    Raises:
        UserError: The description of the images is damaged.
    """
    path, runs = plan.directory / IMAGES, [RunDirectory(cell.run_dir) for cell in plan.cells]
    if not path.is_file() or any(any(run.checkpoints.glob("**/*.index")) for run in runs):
        return None
    stored = read_study_images(path)
    if not stored.names and any(run.flags.is_file() for run in runs):
        return None
    kept = {name: run for name, run in stored.names.items() if (plan.directory / name).is_file()}
    return StudyImages(kept, stored.notes)


def _write_charts(plan: Plan, outcomes: list[Outcome]) -> list[Figure]:
    charts = {
        "last_step.svg": ("All runs at the last step", draw_last_step_chart(outcomes, plan.metric)),
        "curves.svg": ("Metrics over training", draw_metric_chart(outcomes, plan.metric)),
        "gamma.svg": ("Gamma of the attention layers", draw_gamma_chart(outcomes)),
    }
    figures = []
    for name, (heading, chart) in charts.items():
        if chart.svg:
            _write(plan.directory / name, chart.svg)
            figures.append(Figure(name, heading, chart.caption))
    return figures


def _describe_images(names: Mapping[str, str]) -> list[Figure]:
    figures = []
    for name, run in names.items():
        if name == SAMPLES:
            caption = (
                f"From the last checkpoint of the first {MAX_SEEDS} runs of each setting that have ended, with the "
                "same latents and classes in all rows. The metric is that at the step of the checkpoint. The step is "
                "named if the run went on after it."
            )
            figures.append(Figure(name, "Samples", caption))
        else:
            setting = Path(name).stem.removeprefix("attention_")
            figures.append(Figure(name, f"Attention maps: {setting}", f"From the last checkpoint of {run}."))
    return figures


def _write(path: Path, content: str) -> None:
    with replace_atomically(path, shared=True) as temporary:
        temporary.write_text(content, encoding="utf-8")
