"""The parts of the check, with workers that answer as those of machines that are not here would."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.flags import parse_config
from tools.benchmarks.workers import WorkerError
from tools.gpu_checking import check
from tools.gpu_checking.options import GpuCheckOptions

GPUS = [{"name": "GPU:0", "device": "A100", "compute_capability": "8.0"}]
METRICS = {"discriminator_loss": 2.0, "generator_loss": 0.5}


class Machine:
    """Answers in place of workers. Batches of more than `fitting` images do not fit into its memory."""

    def __init__(self, num_gpus: int = 1, fitting: int = 1000, crashing: str = "") -> None:
        self.gpus = GPUS * num_gpus
        self.fitting = fitting
        self.crashing = crashing
        self.configs: list[Config] = []

    def worker(self, module: str, arguments: Any = (), environment: dict[str, str] | None = None) -> Any:
        machine = self

        class Answer:
            def __enter__(self) -> Answer:
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def ready(self) -> dict[str, Any]:
                return machine.answer(module.rpartition(".")[2], list(arguments), environment or {})

            def run(self) -> dict[str, Any]:
                return {}

        return Answer()

    def answer(self, module: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
        if module == self.crashing:
            raise WorkerError(f"{module} ended with status -11 before it had answered: it said nothing")
        if module == "environment_worker":
            smi = [{"memory.total": "40000", "memory.used": "0"}] * len(self.gpus)
            return {"gpus": self.gpus, "nvidia_smi": smi}
        config = parse_config(arguments[:1])
        if module == "decoding_worker":
            return {"error": "data_dir: expected a directory"}
        self.configs.append(config)
        if config.training.global_batch_size // config.training.gradient_accumulation_steps > self.fitting:
            return {"error": "ResourceExhaustedError: OOM", "out_of_memory": True}
        difference = 0.0 if environment else 1e-5
        answer = {"first_step_metrics": {name: value + difference for name, value in METRICS.items()}}
        if arguments[1] == "--steps=0":
            return answer
        return answer | {"images_per_second": 1.0, "peak_memory_bytes": 2**30}


def run_check(
    monkeypatch: pytest.MonkeyPatch,
    machine: Machine,
    options: GpuCheckOptions | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    monkeypatch.setattr(check, "Worker", machine.worker)
    return check.run_check(options or GpuCheckOptions(), config or Config(), lambda line: None)


def test_the_parts_of_a_batch_double_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(fitting=64)
    found = run_check(monkeypatch, machine, GpuCheckOptions(forms=("float32",)))
    assert found["forms"]["float32"]["gradient_accumulation_steps"] == 4  # 256 images in parts of 64
    assert [one.training.gradient_accumulation_steps for one in machine.configs[:3]] == [1, 2, 4]
    assert found["recommendation"]["form"] == "float32"


def test_a_batch_that_never_fits_ends_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_check(monkeypatch, Machine(fitting=0), GpuCheckOptions(forms=("float32",)))
    assert found["forms"]["float32"]["gradient_accumulation_steps"] == 256
    assert "OOM" in found["forms"]["float32"]["error"] and found["recommendation"] == {}


def test_the_first_step_is_compared_with_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    found = run_check(monkeypatch, machine, GpuCheckOptions(forms=("xla",)))
    assert found["comparison"]["agrees"]
    assert found["comparison"]["largest_relative_difference"] == pytest.approx(2e-5)
    small = machine.configs[-1].training
    assert (small.global_batch_size, small.precision, small.tf32, small.jit_compile) == (8, "float32", False, False)


@pytest.mark.parametrize("crashing", ["environment_worker", "decoding_worker", "steps_worker"])
def test_a_worker_that_crashes_is_an_answer(crashing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_check(monkeypatch, Machine(crashing=crashing), GpuCheckOptions(forms=("float32",)))
    parts = {"environment_worker": "environment", "decoding_worker": "decoding", "steps_worker": "comparison"}
    assert "-11" in found[parts[crashing]]["error"]


def test_classes_are_those_of_the_data_set_where_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(num_gpus=0)
    run_check(monkeypatch, machine, GpuCheckOptions(forms=("float32", "tf32")))
    assert [one.model.num_classes for one in machine.configs] == [1000]  # imagenet2012; tf32 is for GPUs only
    unconditional = dataclasses.replace(Config(), model=dataclasses.replace(Config().model, conditioning="none"))
    machine = Machine(num_gpus=0)
    run_check(monkeypatch, machine, GpuCheckOptions(forms=("float32",)), unconditional)
    assert machine.configs[0].model.num_classes == 0


@pytest.mark.parametrize("forms", [(), ("float32", "float64")])
def test_unknown_forms_are_refused(forms: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="forms"):
        GpuCheckOptions(forms=forms)


def test_the_check_leaves_no_file_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check.tempfile, "tempdir", str(tmp_path))
    run_check(monkeypatch, Machine(num_gpus=0), GpuCheckOptions(forms=("float32",)))
    assert list(tmp_path.iterdir()) == []
