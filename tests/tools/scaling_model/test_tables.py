"""Text of the tables, for networks whose work is given."""

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


def test_seconds_and_bytes_are_formatted() -> None:
    seconds = [0.0, 1.234e-5, 0.01234, 0.9994, 1.0, 59.0, 90.0, 7200.0, 86400.0, 86400.0 * 1234]
    expected = "0 ms, 0.0123 ms, 12.3 ms, 999 ms, 1.00 s, 59.0 s, 1.50 min, 2.00 h, 1.00 days, 1,234 days"
    assert ", ".join(map(tables.format_seconds, seconds)) == expected
    sizes = [0, 24, 999, 1000, 325_902_640, 2.5e12]
    assert ", ".join(map(tables.format_bytes, sizes)) == "0 B, 24.0 B, 999 B, 1.00 kB, 326 MB, 2,500 GB"


def test_reductions_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = Reduction("gradients", 1, 2, 10**9), Reduction("others", 3, 3, 40)
    monkeypatch.setattr(counts, "list_reductions", lambda config, state: kinds)
    _, (_, *rows) = make_tables().reductions()
    assert rows == [
        ["gradients", "1", "2", "1,000,000,000", "1.00 GB"],
        ["others", "3", "3", "40", "40.0 B"],
        ["together", "4", "5", "1,000,000,040", "1.00 GB"],
    ]


def test_the_device_table_has_the_batch_and_its_halves() -> None:
    title, (_, *rows) = make_tables(batch=12, num_steps=1).device()
    assert [row[:2] for row in rows] == [["12", "12.0 s"], ["6", "6.00 s"], ["3", "3.00 s"]]
    assert {row[-1] for row in rows} == {"1"}
    assert title.startswith("One V100: 1 of 15.7 TFLOP/s in float32")


@pytest.mark.parametrize(("device", "expected"), [("V100", "0.6 of 15.7"), ("A100", "0.25 of 156")])
def test_the_assumed_utilization_depends_on_the_number_format(device: str, expected: str) -> None:
    assert expected in make_tables(device=device, utilization=None).device()[0]


def test_strong_and_weak_scaling() -> None:
    made = make_communicating_tables(workers=(1, 2, 3), batch=2, num_steps=86400)
    title, rows = made.strong()
    assert title == "Strong scaling: global batch 2, 86,400 steps (not divisible for 3 workers)"
    assert rows == [
        ["workers", "GPUs", "images each", "compute", "8 Gbit/s"],
        ["1", "1", "2", "2.00 s", "100.0%, 2.00 days"],
        ["2", "2", "1", "1.00 s", "50.0%, 2.00 days"],
    ]
    _, (_, *weak) = made.weak()
    assert [row[:-1] for row in weak] == [[f"{n}", f"{n}", "32", "32.0 s"] for n in (1, 2, 3)]
    assert weak[1][-1] == "97.0%, 1.94 images/s"


def test_a_batch_that_no_workers_can_divide_is_an_error() -> None:
    assert len(make_communicating_tables(workers=(2,)).strong()[1]) == 2
    for workers, parts, received in (((3, 5), 1, "3,5"), ((2,), 4, "2")):
        with pytest.raises(UserError, match=f"workers: .*batch of 4.*received {received}"):
            make_communicating_tables(workers=workers, parts=parts).strong()


def test_input_has_images_of_all_workers_and_cores_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "measure_prepared_bytes", lambda resolution, channels: 1e9)
    monkeypatch.setattr(tables, "ORIGINAL_IMAGES_PER_CORE", 1 / 3)
    title, rows = make_communicating_tables(workers=(2,), batch=4).input()
    # Four images in three seconds, of 110 kB or of 1 GB.
    assert rows[1] == ["2", "2", "1", "147 kB/s", "2.0", "1.33 GB/s", "0.0"]
    assert title == "Input at 8 Gbit/s: original JPEGs of 110 kB, prepared records of 1.00 GB"


def test_memory_with_different_attention_of_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(generator_attention_resolutions=(), discriminator_attention_resolutions=(8, 16))
    monkeypatch.setattr(counts, "list_resolutions", lambda config: [config])
    monkeypatch.setattr(counts, "estimate_replica_memory", lambda *arguments: 10**9 * (1 + arguments[2]))
    _, (header, row) = tables.Tables(ScalingOptions(device="T4"), config).memory()
    assert row == ["32 px", "- / 8,16", "0.0M + 0.0M", "1.00 GB", "1.00 GB", "33.0 GB", "15 images"]
    assert len(header) == len(row)


def test_run_with_and_without_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 images take 64 GB on one GPU, and 16 GB on each of four; a V100 has 32 GB.
    monkeypatch.setattr(counts, "estimate_replica_memory", lambda *arguments: 10**9 * arguments[2])
    title, (header, *rows) = make_tables(batch=64).run()
    assert header == ["", "multiplies in", "1 GPU", "4 GPUs", "8 GPUs"]
    assert [row[0] for row in rows] == list(DEVICES)
    assert rows[1][:4] == ["V100", "float32", "2.67 days*, 64.0 GPU-h", "16.0 h, 64.0 GPU-h"]
    assert title.startswith("Run of 3,600 steps in one machine; *")
    title, (_, *rows) = make_tables(batch=64, parts=2, price_per_hour=2.5).run()
    assert [row[:3] for row in rows] == [["V100", "float32", "2.67 days, 64.0 GPU-h, price 160"]]
    assert "*" not in title


def test_what_cannot_compute_the_run_is_left_out() -> None:
    header, *rows = make_tables(batch=12).run()[1]
    assert header[2:] == ["1 GPU", "4 GPUs"] and len(rows) == len(DEVICES)
    header, *rows = make_tables(device="L4", precision="mixed_bfloat16").run()[1]
    assert [row[:2] for row in rows] == [[name, "bfloat16"] for name in ("A100_40GB", "A100", "L4", "H100")]
