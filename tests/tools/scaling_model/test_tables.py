"""Figures of the tables, for networks whose work is given."""

from __future__ import annotations

from typing import Any

import pytest

from sagan_tf.errors import UserError
from tests.training.tiny import PLAINEST_NETWORKS, tiny_config
from tools.scaling import ScalingOptions
from tools.scaling_model import counts, tables
from tools.scaling_model.prediction import DEVICES, BatchWork, Reduction, ScalingModel, Work

WORK = BatchWork(Work(), Work(flops=15.7e12))  # one second per image on a fully utilized V100


def make_tables(
    *, batch: int = 4, num_steps: int = 3600, parts: int = 1, precision: str = "float32", **options: Any
) -> tables.Tables:
    training = {"global_batch_size": batch, "num_steps": num_steps, "gradient_accumulation_steps": parts}
    config = tiny_config(**PLAINEST_NETWORKS, **training, precision=precision)
    made = tables.Tables(ScalingOptions(**{"device": "V100", "utilization": 1.0, **options}), config)
    made.work = {"step": WORK}
    return made


def make_communicating_tables(**options: Any) -> tables.Tables:
    """Return tables with 1 GB of gradients and links of 1 GB/s, in one message, whose latency is negligible."""
    made = make_tables(link_gbits=(8.0,), **options)
    made.model = ScalingModel(WORK, (Reduction("gradients", 1, 1, 10**9),), DEVICES["V100"], "float32", 1.0)
    return made


def test_reductions_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = Reduction("gradients", 1, 2, 10**9), Reduction("others", 3, 3, 40)
    monkeypatch.setattr(counts, "list_reductions", lambda config, state: kinds)
    _, (_, *rows) = make_tables().make_reductions_table()
    assert rows == [
        ["gradients", "1", "2", "1,000,000,000", "1.00 GB"],
        ["others", "3", "3", "40", "40.0 B"],
        ["together", "4", "5", "1,000,000,040", "1.00 GB"],
    ]


def test_the_device_table_has_the_batch_and_its_halves() -> None:
    _, (_, *rows) = make_tables(batch=12, num_steps=1).make_device_table()
    assert [row[:2] for row in rows] == [["12", "12.0 s"], ["6", "6.00 s"], ["3", "3.00 s"]]
    assert {row[-1] for row in rows} == {"1"}


@pytest.mark.parametrize(("device", "expected"), [("V100", 0.6), ("A100", 0.25)])
def test_the_assumed_utilization_depends_on_the_number_format(device: str, expected: float) -> None:
    assert make_tables(device=device, utilization=None).model.utilization == expected


def test_strong_and_weak_scaling() -> None:
    made = make_communicating_tables(workers=(1, 2, 3), batch=2, num_steps=86400)
    _, rows = made.make_strong_scaling_table()
    assert rows == [
        ["workers", "GPUs", "images each", "compute", "8 Gbit/s"],
        ["1", "1", "2", "2.00 s", "100.0%, 2.00 days"],
        ["2", "2", "1", "1.00 s", "50.0%, 2.00 days"],
    ]
    _, (_, *weak) = made.make_weak_scaling_table()
    assert [row[:-1] for row in weak] == [[f"{n}", f"{n}", "32", "32.0 s"] for n in (1, 2, 3)]
    assert weak[1][-1] == "97.0%, 1.94 images/s"


def test_a_batch_that_no_workers_can_divide_is_an_error() -> None:
    assert len(make_communicating_tables(workers=(2,)).make_strong_scaling_table()[1]) == 2
    for workers, parts, received in (((3, 5), 1, "3,5"), ((2,), 4, "2")):
        with pytest.raises(UserError, match=f"workers: .*batch of 4.*received {received}"):
            make_communicating_tables(workers=workers, parts=parts).make_strong_scaling_table()


def test_input_has_images_of_all_workers_and_cores_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "measure_prepared_bytes", lambda resolution, channels: 1e9)
    monkeypatch.setattr(tables, "ORIGINAL_IMAGES_PER_CORE", 1 / 3)
    _, rows = make_communicating_tables(workers=(2,), batch=4).make_input_table()
    # Four images in three seconds, of 110 kB or of 1 GB.
    assert rows[1] == ["2", "2", "1", "147 kB/s", "2.0", "1.33 GB/s", "0.0"]


def test_memory_with_different_attention_of_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(generator_attention_resolutions=(), discriminator_attention_resolutions=(8, 16))
    monkeypatch.setattr(counts, "list_resolutions", lambda config: [config])
    monkeypatch.setattr(counts, "estimate_replica_memory", lambda *arguments: 10**9 * (1 + arguments[2]))
    _, (header, row) = tables.Tables(ScalingOptions(device="T4"), config).make_memory_table()
    assert row == ["32 px", "- / 8,16", "0.0M + 0.0M", "1.00 GB", "1.00 GB", "33.0 GB", "15 images"]
    assert len(header) == len(row)


def test_run_with_and_without_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 images take 64 GB on one GPU, and 16 GB on each of four; a V100 has 32 GB.
    monkeypatch.setattr(counts, "estimate_replica_memory", lambda *arguments: 10**9 * arguments[2])
    _, (header, *rows) = make_tables(batch=64).make_run_table()
    assert header == ["", "multiplies in", "1 GPU", "4 GPUs", "8 GPUs"]
    assert [row[0] for row in rows] == list(DEVICES)
    assert rows[1][:4] == ["V100", "float32", "2.67 days*, 64.0 GPU-h", "16.0 h, 64.0 GPU-h"]
    _, (_, *rows) = make_tables(batch=64, parts=2, price_per_hour=2.5).make_run_table()
    assert [row[:3] for row in rows] == [["V100", "float32", "2.67 days, 64.0 GPU-h, price 160"]]


def test_what_cannot_compute_the_run_is_left_out() -> None:
    header, *rows = make_tables(batch=12).make_run_table()[1]
    assert header[2:] == ["1 GPU", "4 GPUs"] and len(rows) == len(DEVICES)
    header, *rows = make_tables(device="L4", precision="mixed_bfloat16").make_run_table()[1]
    assert [row[:2] for row in rows] == [[name, "bfloat16"] for name in ("A100_40GB", "A100", "L4", "H100")]
