"""Text and figures of the tables."""

from __future__ import annotations

import dataclasses

import pytest

from tests.training.tiny import tiny_config
from tools.scaling_model import tables
from tools.scaling_model.communication import Cluster, Link, Reduction
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.image_input import ImageInput
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Assumptions, ScalingModel
from tools.scaling_model.run_cost import compute_run_costs
from tools.scaling_model.work import BatchWork, Work

MODEL = ScalingModel(
    BatchWork(per_image=Work(flops=15.7e12)),  # one second per image
    (Reduction("gradients", 1, 1, 25 * 10**7), Reduction("others", 3, 3, 10)),
    DEVICES["V100"],
    "float32",
    assumptions=Assumptions(utilization=1.0),
)
MEMORY = ReplicaMemory(tiny_config().model, (1_500_000, 2), weights_bytes=10**9, image_bytes=10**9)


def make_cluster(workers: int) -> Cluster:
    return Cluster(workers, 1, Link(1e9, 0.0), Link(1e9, 0.0))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 ms"),
        (1.234e-5, "0.0123 ms"),
        (0.01234, "12.3 ms"),
        (0.9994, "999 ms"),
        (1.0, "1.00 s"),
        (59.0, "59.0 s"),
        (90.0, "1.50 min"),
        (7200.0, "2.00 h"),
        (86400.0, "1.00 days"),
        (86400.0 * 1234, "1,234 days"),
    ],
)
def test_seconds_are_formatted(seconds: float, expected: str) -> None:
    assert tables.format_seconds(seconds) == expected


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(0, "0 B"), (24, "24.0 B"), (999, "999 B"), (1000, "1.00 kB"), (325_902_640, "326 MB"), (2.5e12, "2,500 GB")],
)
def test_bytes_are_formatted(num_bytes: float, expected: str) -> None:
    assert tables.format_bytes(num_bytes) == expected


def test_reductions_are_added_up() -> None:
    table = tables.create_reduction_table(MODEL.reductions)
    assert table.rows[1:] == [
        ["gradients", "1", "1", "1,000,000,000", "1.00 GB"],
        ["others", "3", "3", "40", "40.0 B"],
        ["together", "4", "4", "1,000,000,040", "1.00 GB"],
    ]


def test_scaling_table() -> None:
    rows = [[MODEL.predict_weak_scaling(3, make_cluster(workers))] for workers in (1, 2)]
    table = tables.create_scaling_table("title", rows, None)
    assert table.rows == [
        ["workers", "GPUs", "images each", "compute", "8 Gbit/s"],
        ["1", "1", "3", "3.00 s", "100.0%, 1.00 images/s"],
        ["2", "2", "3", "3.00 s", "75.0%, 1.50 images/s"],
    ]
    assert tables.create_scaling_table("title", rows, 86400).rows[2][-1] == "75.0%, 4.00 days"
    assert table.figures[1]["efficiency"] == pytest.approx(0.75)
    assert table.figures[1]["images_per_second"] == pytest.approx(1.5)
    assert table.figures[1]["link_gbits"] == 8.0


def test_input_has_images_of_all_workers_and_cores_of_one() -> None:
    two = MODEL.predict_strong_scaling(2, make_cluster(2))
    assert two is not None and two.time.total == pytest.approx(2.0)
    table = tables.create_input_table([two], [ImageInput("files", 1000.0, 5.0)], 2, 10)
    assert table.rows[1] == ["2", "2", "10", "10.0 kB/s", "1.0"]
    assert table.title == "Input at 8 Gbit/s: files of 1.00 kB"


def test_memory_table() -> None:
    table = tables.create_memory_table([MEMORY], 4, DEVICES["T4"])
    assert table.rows[1] == ["32 px", "16", "1.5M + 0.0M", "1.00 GB", "1.00 GB", "5.00 GB", "15 images"]


def test_different_attention_of_the_networks_is_shown() -> None:
    model = tiny_config(generator_attention_resolutions=(), discriminator_attention_resolutions=(8, 16)).model
    table = tables.create_memory_table([dataclasses.replace(MEMORY, model=model)], 4, DEVICES["T4"])
    assert table.rows[1][1] == "- / 8,16"


def test_run_table_with_and_without_a_price() -> None:
    costs = compute_run_costs(MODEL, [DEVICES["V100"]], 64, 3600, MEMORY, 0.0)
    table = tables.create_run_table(costs, "float32", 3600, None)
    assert table.rows[0] == ["", "multiplies in", "1 GPU", "4 GPUs", "8 GPUs"]
    assert table.rows[1][:3] == ["V100", "float32", "2.67 days*, 64.0 GPU-h"]
    assert table.title.startswith("Run of 3,600 steps in one machine; * the batch does not fit")
    priced = tables.create_run_table(costs, "float32", 3600, 2.5)
    assert priced.rows[1][2] == "2.67 days*, 64.0 GPU-h, price 160"
    assert priced.figures[0]["price"] == pytest.approx(160.0)
