"""Two processes on this machine evaluate one run: each its share, and what they find is what one alone finds."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from sagan_tf import evaluate, train
from tests.training.tiny import PLAIN_FLAGS
from tests.workers import run_workers, started_workers

SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", *PLAIN_FLAGS]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=2", "--strategy=one_device", "--num_steps=2"]
MEASURES = ["--extractor=fashion_mnist", "--reference=fashion_mnist_10k:reference"]
MEASURES += ["--metrics=fcd,classifier_score,label_agreement"]


@pytest.mark.slow
def test_two_workers_find_what_one_finds(tmp_path: pathlib.Path) -> None:
    """The worker that writes has no reference and can keep none; the other has one in a directory of its own."""
    run_dir, stores = tmp_path / "run", ["/proc/nowhere", tmp_path / "references"]
    assert train.run([*SMALL, f"--run_dir={run_dir}"]) == 0
    outputs = [tmp_path / name for name in ("alone.json", "first.json", "second.json")]
    flags = [f"--run_dir={run_dir}", "--num_samples=300", *MEASURES]
    alone = [*flags, f"--output={outputs[0]}", f"--reference_dir={stores[1]}", "--strategy=one_device"]
    assert evaluate.run(alone) == 0
    together = ["-m", "sagan_tf.evaluate", *flags, "--strategy=multi_worker"]
    of_each = [[*together, f"--output={outputs[1 + i]}", f"--reference_dir={stores[i]}"] for i in range(2)]
    printed = run_workers(of_each)
    assert [text.count("warning: reference_dir") for text in printed] == [1, 0]

    first, second = (json.loads(path.read_text()) for path in outputs[:2])
    for name in ("fcd", "classifier_score", "label_agreement"):
        np.testing.assert_allclose(second[name], first[name], rtol=1e-4, err_msg=name)
    # One worker writes: no second file, and no line stands twice.
    assert not outputs[2].exists()
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines].count("evaluation") == 2


@pytest.mark.slow
def test_two_workers_end_together_where_one_cannot_write(tmp_path: pathlib.Path) -> None:
    """Before the images are looked at: those named do not exist."""
    command = ["-m", "sagan_tf.evaluate", "--images=nowhere", *MEASURES, "--strategy=multi_worker"]
    outputs = ["/proc/nowhere/a.json", str(tmp_path / "a.json")]
    with started_workers([[*command, f"--output={output}"] for output in outputs]) as workers:
        printed = [worker.communicate(timeout=300)[0].splitlines()[-1] for worker in workers]
    assert [worker.returncode for worker in workers] == [2, 2]
    assert outputs[0] in printed[0] and "sagan_tf.evaluate: error: " in printed[1] and not list(tmp_path.iterdir())
