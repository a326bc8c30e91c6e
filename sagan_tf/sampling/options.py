"""What `python -m sagan_tf.sample` takes. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import math
import re

from sagan_tf.config.dependent_options import SAMPLE, check_dependent_fields
from sagan_tf.config.option import option
from sagan_tf.errors import UserError
from sagan_tf.serving.contract import LARGEST_BATCH

MODES = ("grid", "images", "classes", "interpolation", "truncation", "nearest", "attention")
_OF_RUN_ONLY = ("nearest", "attention")
_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """What to make pictures of, and which."""

    run_dir: str = option("", "Folder of a run, whose generator makes the pictures.")
    saved_model: str = option("", "Instead of a run: the folder of an exported SavedModel.")
    mode: str = option(
        "grid",
        "grid: a row of pictures a class; images: one file a picture, any number; classes: one picture of each class; "
        "interpolation: from one picture to another; truncation: the same pictures at several truncations; nearest: "
        "beside each picture the training images most like it; attention: where the generator looks.",
        choices=MODES,
    )
    output: str = option(
        "",
        "Where it goes: a .png file; for images a folder or an .npz file; for attention a .png, or an .html page in "
        "which the mouse chooses the location.",
    )
    num_samples: int = option(
        0, "Number of pictures; in modes with rows, of rows that are not classes; 0: the mode's own default."
    )
    columns: int = option(0, "Pictures in a row; 0: the mode's own default, 8 in most.")
    labels: tuple[str, ...] = option(
        (),
        "Comma list of classes, by number or name, in double quotes where a name has a comma, as in "
        """--labels='"tench, Tinca tinca",3'; empty: all, of which grid and the like show at most ten.""",
    )
    seed: int = option(
        0,
        "Seed of the first picture; the next have the seeds after it. A seed, a class and a truncation make a picture.",
    )
    truncation: float | None = option(
        None, "Cut the latents off at +-this value (BigGAN's truncation trick); unset: not at all."
    )
    truncations: tuple[float, ...] = option(
        (),
        "For truncation: the values to compare, 0 the mean, 8 or more none; empty: 8, 2, 1.5, 1, 0.75, 0.5, 0.25, 0.",
    )
    standing_batches: int = option(
        0,
        "Recompute batch normalisation's statistics over this many batches of 64 pictures at the truncation in use "
        "(BigGAN's standing statistics); 0: take those of training. Of a run only.",
    )
    between: str = option(
        "latents",
        "For interpolation: latents (a class a row, from one seed to the next) or classes (a seed a row, from class to "
        "class; of a run only).",
        choices=("latents", "classes"),
    )
    network: str = option(
        "generator",
        "For attention: generator, or discriminator, which is shown training images.",
        choices=("generator", "discriminator"),
    )
    queries: tuple[str, ...] = option(
        (),
        "For attention: where to look from, a comma list of places ROW:COLUMN as fractions of the picture, such as "
        "0.5:0.5 for its middle; empty: five places that look at different things.",
    )
    checkpoint: str = option("latest", "Of a run: latest, best (kept by --evaluate_every) or a step.")
    generator_weights: str = option(
        "ema", "Of a run: ema (the averaged generator) or live (the one that is trained).", choices=("ema", "live")
    )
    shard: str = option(
        "",
        "For images: I/N makes the I-th of N parts, 1/N to N/N, of one set; all may share a folder. worker: this "
        "process's part among the workers that TF_CONFIG, Slurm or Kubernetes describes.",
    )
    batch_size: int = option(64, "Pictures made at once.")
    strategy: str = option(
        "auto",
        "Where it runs: one_device, mirrored (each device its share of every batch), or auto.",
        choices=("auto", "one_device", "mirrored"),
    )
    logical_cpus: int = option(1, "Split the CPU into this many devices: tries mirrored without GPUs.")
    overwrite: bool = option(False, "Replace an output that is there.")
    data_dir: str = option("", "Where the training data lie, if they have moved since.")
    extractor: str = option(
        "",
        "For nearest: whose features say what is alike, as in sagan_tf.evaluate; empty: the run's own, or inception.",
    )
    inception_dir: str = option("", "Folder of TF-GAN's Inception, as in sagan_tf.evaluate.")

    def __post_init__(self) -> None:
        if bool(self.run_dir) == bool(self.saved_model):
            received = "both" if self.run_dir else "neither"
            raise UserError(f"expected either --run_dir or --saved_model, received {received}")
        if not self.output:
            raise UserError("output: expected where to write, received none")
        check_dependent_fields(SAMPLE, self)
        if self.standing_batches and self.mode == "truncation":
            raise UserError(
                "standing_batches: expected one truncation, received mode truncation, which compares several"
            )
        if self.saved_model and self._needs_run():
            raise UserError(
                f"saved_model: expected --run_dir for {self._needs_run()}, which needs more than an export has"
            )
        self._check_numbers()
        if self.saved_model and self.batch_size > LARGEST_BATCH:
            raise UserError(
                f"batch_size: expected at most {LARGEST_BATCH} with --saved_model, received {self.batch_size}"
            )
        if self.checkpoint not in ("latest", "best") and not self.checkpoint.isdecimal():
            raise UserError(f"checkpoint: expected latest, best or a step, received {self.checkpoint!r}")
        self.part_and_parts()  # raises for a wrong one

    def part_and_parts(self) -> tuple[int, int]:
        """Which shard of how many, counted from 0; the whole where the environment says it, see `is_shard_of_worker`.

        Raises:
            UserError: it is not I/N with 1 <= I <= N.
        """
        if not self.shard or self.is_shard_of_worker():
            return 0, 1
        match = _SHARD.fullmatch(self.shard)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"shard: expected I/N with I from 1 to N, such as 1/4, or worker, received {self.shard!r}")
        return int(match[1]) - 1, int(match[2])

    def is_shard_of_worker(self) -> bool:
        """Return whether this process makes the part that it has as one of several workers."""
        return self.shard == "worker"

    def threshold(self) -> float:
        """Return the truncation as a number: infinity for none."""
        return math.inf if self.truncation is None else self.truncation

    def _needs_run(self) -> str:
        if self.mode in _OF_RUN_ONLY:
            return f"mode {self.mode}"
        if self.mode == "interpolation" and self.between == "classes":
            return "interpolation between classes"
        return "standing_batches" if self.standing_batches else ""

    def _check_numbers(self) -> None:
        for name, least in {
            "num_samples": 0,
            "columns": 0,
            "seed": 0,
            "batch_size": 1,
            "logical_cpus": 1,
            "standing_batches": 0,
        }.items():
            value = getattr(self, name)
            if value < least:
                raise UserError(f"{name}: expected {least} or more, received {value}")
        if self.seed + max(self.num_samples, 1) > 2**62:
            raise UserError(f"seed: expected seeds below 2^62, received {self.seed}")
        if self.truncation is not None and not self.truncation >= 0:
            raise UserError(f"truncation: expected 0 or more, received {self.truncation}")
        wrong = [value for value in self.truncations if value < 0]
        if wrong:
            raise UserError(f"truncations: expected numbers of 0 or more, received {wrong[0]}")
