"""Tests of the workers of the benchmarks on small networks, each in a process of its own."""

from __future__ import annotations

import pytest

from tools.benchmarks.workers import Worker

SIZES = ["--batch_size=2", "--base_channels=4", "--num_classes=3"]
TRAINING = ["--resolution=32", "--image_channels=1", "--attention_resolution=16", "--precision=float32"]


def answers(module: str, *arguments: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return a worker's facts about itself, and its second measurement."""
    with Worker(f"tools.benchmarks.{module}", arguments) as worker:
        about = worker.wait_until_ready()
        worker.run()
        return about, worker.run()


@pytest.mark.slow
def test_training_steps() -> None:
    found = {
        form: answers("train_step_worker", *SIZES, *TRAINING, f"--resampling={form}") for form in ("auto", "plain")
    }
    for about, measured in found.values():
        assert measured["seconds"] > 0.0 and measured["peak_memory_bytes"] > 2**26
        assert about["seconds_to_first_step"] > measured["seconds"]
    assert 0.0 < found["auto"][0]["flops_per_image"] < 0.8 * found["plain"][0]["flops_per_image"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["compiled", "saved_model"])
def test_sampling(form: str) -> None:
    _, measured = answers("sampling_worker", *SIZES, f"--form={form}")
    assert measured["seconds"] > 0.0


@pytest.mark.slow
def test_evaluation() -> None:
    _, measured = answers("evaluation_worker", "inception", "--images=2", "--batch_size=2")
    assert measured["extractor_seconds"] > 0.0 and measured["images_per_second"] > 0.0
    _, measured = answers("evaluation_worker", "statistics", "--features=3000")
    assert measured["statistics_seconds"] > 0.0 and measured["peak_memory_bytes"] > 2**26


@pytest.mark.slow
def test_matrix_product() -> None:
    _, measured = answers("matrix_product_worker")
    assert measured["flops_per_second"] > 1e8


@pytest.mark.slow
@pytest.mark.parametrize("task", ["train", "sample"])
def test_tf_gan(task: str) -> None:
    _, measured = answers("tf_gan_peer", task, *SIZES)
    assert measured["seconds"] > 0.0 and measured["peak_memory_bytes"] > 2**26


def test_image_files() -> None:
    _, measured = answers("image_files_worker", "--run_dir=", "--images=20", "--batch_size=8")
    assert measured["generator_seconds"] > 0.0 and measured["files_seconds"] > 0.0
