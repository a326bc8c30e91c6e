"""Tests of the parts of the check, with workers that emulate other machines."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config, TrainingConfig
from sagan_tf.errors import UserError
from tools.benchmarks.worker_process import WorkerError, WorkerTimeoutError
from tools.gpu_checking import ask, check
from tools.gpu_checking.options import GpuCheckOptions

GIB = 2**30
METRICS = {"discriminator_loss": 2.0, "generator_loss": 0.5}
FLOAT32 = GpuCheckOptions(forms=("float32",))


class Machine:
    """Emulation of a machine's workers.

    Args:
        num_gpus: Number of GPUs.
        fitting: Number of images of a part that fit into the memory of a GPU.
        failing: Measurement of a worker that raises `error`.
        error: The error; None: a crash.
    """

    def __init__(
        self, num_gpus: int = 1, fitting: int = 1000, failing: str = "", error: BaseException | None = None
    ) -> None:
        gpu = {"name": "GPU:0", "device": "A100", "compute_capability": "8.0", "uuid": None, "memory_bytes": 40 * GIB}
        self.gpus = [gpu] * num_gpus
        self.fitting = fitting
        self.failing, self.error = failing, error or WorkerError("status -11", ["last words"])
        self.configs: list[Config] = []

    def worker(
        self, measurement: str, parameters: dict[str, Any], environment: dict[str, str] | None, max_seconds: float
    ) -> Any:
        machine = self
        config = parse_config(parameters.get("flags", []))
        replicas = 1 if config.training.strategy == "one_device" else len(self.gpus)

        class Answer:
            def __enter__(self) -> Answer:
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def wait_until_ready(self) -> dict[str, Any]:
                if measurement == machine.failing:
                    raise machine.error
                return {"replicas": replicas}

            def run(self) -> dict[str, Any]:
                if measurement == "gpu_steps":
                    return machine.train(config, replicas, environment, timed=parameters.get("steps") == 20)
                if measurement == "gpu_decoding":
                    raise WorkerError("data_dir: expected a directory")
                return {"gpus": machine.gpus} if measurement == "gpu_environment" else {"bytes": 4}

        return Answer()

    def train(self, config: Config, replicas: int, environment: dict[str, str] | None, timed: bool) -> dict[str, Any]:
        self.configs.append(config)
        parts = config.training.gradient_accumulation_steps
        if config.training.global_batch_size // (parts * replicas) > self.fitting:
            raise WorkerError("ResourceExhaustedError: OOM", ["what TensorFlow logged"], out_of_memory=True)
        difference = 0.0 if environment else 1e-5
        answer = {"first_step_metrics": {name: value + difference for name, value in METRICS.items()}}
        return answer | ({"images_per_second": 1.0, "peak_memory_bytes": GIB} if timed else {})

    def parts(self) -> list[int]:
        return [config.training.gradient_accumulation_steps for config in self.configs]


def run_check(
    monkeypatch: pytest.MonkeyPatch,
    machine: Machine,
    options: GpuCheckOptions = FLOAT32,
    config: Config | None = None,
) -> dict[str, Any]:
    monkeypatch.setattr(ask, "Worker", machine.worker)
    return dict(check.run_check(options, config or Config(), lambda line: None))


def make_config(size: int, **training: Any) -> Config:
    return Config(training=TrainingConfig(global_batch_size=size, **training))


def test_the_number_of_parts_doubles_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(fitting=64)
    found = run_check(monkeypatch, machine)
    assert found["forms"]["float32"]["gradient_accumulation_steps"] == 4  # 256 images in parts of 64
    assert machine.parts()[:3] == [1, 2, 4]
    assert found["recommendation"]["form"] == "float32"


def test_the_parts_divide_the_images_of_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(num_gpus=2, fitting=10)
    found = run_check(monkeypatch, machine, config=make_config(96))
    assert machine.parts()[:4] == [1, 2, 4, 8]  # 48 images in parts of 6
    assert found["forms"]["float32"]["replicas"] == 2
    machine = Machine(num_gpus=2, fitting=1)
    run_check(monkeypatch, machine, config=make_config(36))
    assert machine.parts()[:4] == [1, 2, 6, 18]


def test_a_form_begins_with_the_parts_of_the_previous_form(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(fitting=64)
    run_check(monkeypatch, machine, GpuCheckOptions(forms=("float32", "tf32", "mixed_bfloat16")))
    assert machine.parts() == [1, 2, 4, 4, 4, 1, 1]  # The last two belong to the comparison.


def test_a_batch_that_never_fits_ends_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_check(monkeypatch, Machine(fitting=0))
    assert found["forms"]["float32"]["gradient_accumulation_steps"] == 256
    assert "OOM" in found["forms"]["float32"]["error"] and found["recommendation"] == {}
    assert found["forms"]["float32"]["log"] == ["what TensorFlow logged"]


def test_a_form_that_never_fits_does_not_change_the_parts_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(fitting=0)
    run_check(monkeypatch, machine, GpuCheckOptions(forms=("float32", "mixed_bfloat16")))
    parts = machine.parts()
    assert parts.count(1) >= 2 and parts[parts.index(256) + 1] == 1


@pytest.mark.parametrize("strategy", ["auto", "mirrored", "one_device"])
def test_the_replicas_are_those_of_the_strategy(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, options = Machine(num_gpus=8), GpuCheckOptions(forms=("float32", "xla"))
    found = run_check(monkeypatch, machine, options, make_config(256, strategy=strategy))
    replicas = 1 if strategy == "one_device" else 8
    assert found["forms"]["float32"]["replicas"] == replicas
    assert ("skipped" in found["forms"]["xla"]) == (replicas > 1)
    # A step of 256 / replicas images needs 1 of 40 GiB.
    assert found["recommendation"]["largest_part"] == 36 * 256 // replicas


def test_an_indivisible_batch_ends_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"global_batch_size.*\b6 replicas.*\b256$"):
        run_check(monkeypatch, Machine(num_gpus=6))
    with pytest.raises(UserError, match="global_batch_size.* 3 accumulation steps.* 256$"):
        run_check(monkeypatch, Machine(), config=make_config(256, gradient_accumulation_steps=3))


def test_strategies_for_several_machines_and_tpus_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {("auto", 0): "one_device", ("tpu", 1): "one_device", ("multi_worker", 2): "mirrored"}
    for (strategy, num_gpus), local in expected.items():
        machine = Machine(num_gpus=num_gpus)
        run_check(monkeypatch, machine, config=make_config(256, strategy=strategy))
        assert machine.configs[0].training.strategy == local
    assert check.restrict_to_local_devices(make_config(256, logical_cpus=2), 0).training.strategy == "mirrored"


def test_the_first_step_is_compared_with_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(num_gpus=2)
    found = run_check(monkeypatch, machine, GpuCheckOptions(forms=("mixed_bfloat16",)))
    assert found["comparison"]["agrees"]
    assert found["comparison"]["largest_relative_difference"] == pytest.approx(2e-5)
    small = machine.configs[-1].training
    assert (small.global_batch_size, small.precision, small.tf32, small.jit_compile) == (8, "float32", False, False)


PARTS = {
    "gpu_environment": "environment",
    "gpu_all_reduce": "all_reduce",
    "gpu_decoding": "decoding",
    "gpu_steps": "comparison",
}


@pytest.mark.parametrize("failing", PARTS)
def test_a_crash_of_a_worker_is_part_of_the_answer(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_check(monkeypatch, Machine(num_gpus=2, failing=failing))
    assert "-11" in found[PARTS[failing]]["error"] and found[PARTS[failing]]["log"] == ["last words"]
    assert set(found) == {"flags", "forms", "recommendation", *PARTS.values()}


@pytest.mark.parametrize(("failing", "limit"), {"gpu_all_reduce": 5, "gpu_steps": 50}.items())
def test_a_time_out_of_a_worker_is_part_of_the_answer(
    failing: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = GpuCheckOptions(forms=("float32",), max_seconds=50.0, max_all_reduce_seconds=5.0)
    machine = Machine(num_gpus=2, failing=failing, error=WorkerTimeoutError("it hangs", ["NCCL INFO ..."]))
    found = run_check(monkeypatch, machine, options)
    part = found[PARTS[failing]]
    assert f" {limit} s" in part["error"] and part["log"] == ["NCCL INFO ..."]


def test_no_steps_are_timed_if_all_reduce_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(num_gpus=2, failing="gpu_all_reduce")
    found = run_check(monkeypatch, machine)
    assert "skipped" in found["forms"]["float32"] and found["comparison"]["agrees"]
    found = run_check(monkeypatch, machine, config=make_config(256, strategy="one_device"))
    assert "images_per_second" in found["forms"]["float32"]


def test_results_are_yielded_before_a_later_part_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(failing="gpu_steps", error=KeyboardInterrupt())
    monkeypatch.setattr(ask, "Worker", machine.worker)
    found: dict[str, Any] = {}
    with pytest.raises(KeyboardInterrupt):
        found.update(check.run_check(FLOAT32, Config(), lambda line: None))
    assert set(found) == {"flags", "environment", "all_reduce", "decoding"}


def test_absent_data_sets_have_their_number_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(num_gpus=0)
    run_check(monkeypatch, machine, GpuCheckOptions(forms=("float32", "tf32")))
    assert [config.model.num_classes for config in machine.configs] == [1000]  # imagenet2012; tf32 is for GPUs only
    unconditional = dataclasses.replace(Config(), model=dataclasses.replace(Config().model, conditioning="none"))
    machine = Machine(num_gpus=0)
    run_check(monkeypatch, machine, config=unconditional)
    assert machine.configs[0].model.num_classes == 0


@pytest.mark.parametrize("forms", [(), ("float32", "float64")])
def test_unknown_forms_are_refused(forms: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="forms"):
        GpuCheckOptions(forms=forms)
