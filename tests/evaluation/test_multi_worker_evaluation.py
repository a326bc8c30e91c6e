"""Evaluation by two worker processes, each with its share of every batch, gives the values of a single process."""

import json

import numpy as np
import pytest

from sagan_tf.evaluate import run as run_evaluate
from sagan_tf.train import run as run_train
from tests.evaluation.test_evaluate import SMALL
from tests.workers import run_workers, start_workers

EVALUATION_FLAGS = ["--extractor=fashion_mnist", "--reference=fashion_mnist_10k:reference"]
EVALUATION_FLAGS += ["--metrics=fcd,classifier_score,label_agreement"]


@pytest.mark.slow
def test_two_workers_have_the_values_of_one(tmp_path):
    """The writing worker has no reference and cannot store one; the second worker has one in its own directory."""
    run_dir, stores = tmp_path / "run", ["/proc/nowhere", tmp_path / "references"]
    trained = [flag for flag in SMALL if not flag.startswith("--num_samples")]
    assert run_train([*trained, "--num_steps=2", f"--run_dir={run_dir}"]) == 0
    outputs = [tmp_path / name for name in ("alone.json", "first.json", "second.json")]
    flags = [f"--run_dir={run_dir}", "--num_samples=300", *EVALUATION_FLAGS]
    alone = [*flags, f"--output={outputs[0]}", f"--reference_dir={stores[1]}", "--strategy=one_device"]
    assert run_evaluate(alone) == 0
    together = ["-m", "sagan_tf.evaluate", *flags, "--strategy=multi_worker"]
    commands = [[*together, f"--output={outputs[1 + i]}", f"--reference_dir={stores[i]}"] for i in range(2)]
    printed = run_workers(commands)
    assert [text.count("warning: reference_dir") for text in printed] == [1, 0]

    first, second = (json.loads(path.read_text()) for path in outputs[:2])
    for name in ("fcd", "classifier_score", "label_agreement"):
        np.testing.assert_allclose(second[name], first[name], rtol=1e-4, err_msg=name)
    # Only one worker writes: there is no second file, and the record has one line.
    assert not outputs[2].exists()
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines].count("evaluation") == 2


@pytest.mark.slow
def test_two_workers_stop_together_if_one_cannot_write(tmp_path):
    """The outputs are checked before the images, which do not exist."""
    command = ["-m", "sagan_tf.evaluate", "--images=nowhere", *EVALUATION_FLAGS, "--strategy=multi_worker"]
    outputs = ["/proc/nowhere/a.json", str(tmp_path / "a.json")]
    with start_workers([[*command, f"--output={output}"] for output in outputs]) as workers:
        printed = [worker.communicate(timeout=300)[0].splitlines()[-1] for worker in workers]
    assert [worker.returncode for worker in workers] == [2, 2]
    assert outputs[0] in printed[0] and "sagan_tf.evaluate: error: " in printed[1] and not list(tmp_path.iterdir())
