"""Tests of the health actions: warnings, policies and dead discriminators."""

import dataclasses
import functools
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.losses import LOSSES
from sagan_tf.runs.metrics_log import read_metrics
from sagan_tf.training.actions import health
from sagan_tf.training.actions.health import POLICIES, DiscriminatorMonitor, SignMonitor, UnhealthyError
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.health import signs
from sagan_tf.training.health.signs import Sign
from sagan_tf.training.train import train
from tests import commands
from tests.training.tiny import (
    PLAINEST_NETWORKS,
    RUN_FLAGS,
    find_differences,
    make_trainer,
    one_device,
    restore_values,
    run_config,
    tiny_config,
)

ALIVE = {signs.LOGIT_RANGE: 0.5, "real_logits": 0.25, "fake_logits": -0.25}
DEAD = {signs.LOGIT_RANGE: 0.0, "real_logits": 0.25, "fake_logits": 0.25}


@pytest.fixture
def two_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the signs by one that needs two readings above 1, and a final one."""
    options: dict[str, Any] = {"healthy": "at most 1", "meaning": "It is large.", "advice": "Lower --it."}
    fake_signs = {
        "large": Sign(scalar="x", is_unhealthy=lambda values: values["x"] > 1, patience=2, **options),
        "final": Sign(scalar="y", is_unhealthy=lambda values: values["y"] > 1, is_final=True, **options),
    }
    monkeypatch.setattr(health, "SIGNS", fake_signs)


def make_monitor(policy: str) -> SignMonitor:
    return SignMonitor(POLICIES[policy], lambda: "run/checkpoints/step-7")


def read_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_sign_leads_to_one_warning_until_it_disappears(two_signs, caplog):
    monitor, found = make_monitor("stop_dead"), []
    for step, value in enumerate([2, 2, 2, 2, 0, 2, 2, 2]):
        monitor.check({"x": float(value)}, step)
        found.append(len(read_warnings(caplog)))
    assert found == [0, 1, 1, 1, 1, 1, 2, 2]
    for text in ("large", "step 1", "x is 2", "at most 1", "--it"):
        assert text in read_warnings(caplog)[0]
    monitor.check({"z": 5.0}, 9)  # signs without their scalars are not checked
    assert len(read_warnings(caplog)) == 2


def test_an_undefined_reading_interrupts_consecutive_readings(two_signs, caplog):
    monitor = make_monitor("stop_dead")
    for step, value in enumerate([2.0, None, 2.0]):
        monitor.check({"x": value}, step)
    assert read_warnings(caplog) == []
    monitor.check({"x": 2.0}, 3)
    assert len(read_warnings(caplog)) == 1


def test_an_undefined_scalar_is_null(tmp_path):
    written: list[dict[str, float]] = []
    path = tmp_path / "metrics.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "write_scalars", lambda writer, step, scalars: written.append(dict(scalars)))
        readers = [lambda: {"a": 1.0}, lambda: {"b": None}]
        action = health.HealthMonitor(readers, make_monitor("warn"), path, None)  # type: ignore[arg-type]
        metrics = {"real_logits": 0.5, "fake_logits": 0.25}
        action(StepReport(7, 1, metrics, 1.0, last=False))
    (line,) = read_metrics(path)
    assert line["a"] == 1.0 and line["b"] is None and line[signs.LOGIT_GAP] == 0.25
    assert written == [{"a": 1.0, signs.LOGIT_GAP: 0.25}]


@pytest.mark.parametrize(
    ("policy", "values", "ends"),
    [
        ("warn", {"x": 2, "y": 2}, False),
        ("stop_dead", {"x": 2}, False),
        ("stop_dead", {"y": 2}, True),
        ("stop", {"x": 2}, True),
    ],
)
def test_policies_end_a_run(two_signs, policy, values, ends):
    monitor = make_monitor(policy)
    monitor.check(values, 1) if not ends or "x" in values else None
    if ends:
        with pytest.raises(UnhealthyError, match=next(iter(values))) as caught:
            monitor.check(values, 2)
        assert ("run/checkpoints/step-7" in str(caught.value)) == ("x" in values)  # a final sign saves no checkpoint
    else:
        monitor.check(values, 2)


def test_all_workers_end_for_a_sign_of_the_chief(two_signs):
    """The other workers read nothing."""
    agreed: list[float] = []

    def compute_maximum(number: float) -> float:
        agreed.append(number)
        return max(agreed)

    chief, other = make_monitor("stop"), make_monitor("stop")
    for monitor, values in ((chief, {"x": 2.0}), (other, {}), (chief, {"x": 0.0}), (other, {})):
        monitor.check(values, 1, compute_worker_maximum=compute_maximum)
    for monitor, values, read in ((chief, {"y": 2.0}, "y is 2"), (other, {}, "chief")):
        with pytest.raises(UnhealthyError, match=f"final at step 2.*{read}.*--it"):
            monitor.check(values, 2, compute_worker_maximum=compute_maximum)
    assert agreed == [0, 0, 0, 0, 2, 0]


class FakeCheckpoints:
    def __init__(self, *steps: int) -> None:
        self._steps = steps

    def find_newest_until(self, step: int) -> str | None:
        return next((f"elsewhere/step-{saved}" for saved in reversed(self._steps) if saved <= step), None)


def monitor_reports(*reports: tuple[int, int, Mapping[str, float]], saved: tuple[int, ...] = ()) -> None:
    checkpoints: Any = FakeCheckpoints(*saved)
    action = DiscriminatorMonitor(make_monitor("stop_dead"), checkpoints, pathlib.Path("run/checkpoints"))
    for step, num_steps, metrics in reports:
        action(StepReport(step, num_steps, dict(metrics), 1.0, last=False))


def test_a_dead_discriminator_reports_the_last_earlier_checkpoint():
    # It died in steps 21 to 40, so the checkpoint of step 40 may be of a dead discriminator.
    reports = ((20, 20, ALIVE), (40, 20, ALIVE), (60, 20, DEAD))
    with pytest.raises(UnhealthyError, match=r"step 60.*run/checkpoints/step-20") as caught:
        monitor_reports(*reports, saved=(10, 20, 40))
    assert "--discriminator_learning_rate" in str(caught.value)
    with pytest.raises(UnhealthyError) as caught:
        monitor_reports(*reports, saved=(40,))
    assert "step-40" not in str(caught.value)
    with pytest.raises(UnhealthyError):  # resumed from a checkpoint of a dead discriminator
        monitor_reports((60, 20, DEAD), saved=(40,))


@pytest.mark.parametrize(
    "metrics",
    [
        DEAD | {signs.LOGIT_RANGE: 1e-30},
        DEAD | {signs.LOGIT_RANGE: float("nan")},
        DEAD | {signs.LOGIT_RANGE: 2.0, "generator_gradient_norm": 0.0},  # an update that loss scaling skipped
    ],
    ids=str,
)
def test_a_discriminator_with_different_logits_is_alive(metrics):
    monitor_reports((20, 20, metrics), (40, 20, metrics))
    with pytest.raises(UnhealthyError):  # the metrics of a dead discriminator
        monitor_reports((20, 20, DEAD), (40, 20, DEAD))


def test_few_steps_with_constant_logits_are_allowed():
    monitor_reports(*((step, 1, DEAD) for step in range(1, 10)))
    with pytest.raises(UnhealthyError):
        monitor_reports(*((step, 1, DEAD) for step in range(1, 11)))


EVERY_WEIGHT = {"orthogonal_regularization": 1e-4, "latent_diversity_weight": 0.5, "lecam_weight": 0.3}
OTHER_LOSSES = [pytest.param({"loss": name}, marks=pytest.mark.slow) for name in LOSSES if name != "relativistic"]


@pytest.mark.parametrize(
    "options",
    [
        EVERY_WEIGHT,
        pytest.param({"conditioning": "auxiliary_classifier"}, marks=pytest.mark.slow),
        pytest.param(
            {"conditioning": "none", "gradient_accumulation_steps": 2, "loss": "relativistic"}, marks=pytest.mark.slow
        ),
        *OTHER_LOSSES,
    ],
    ids=str,
)
def test_a_dead_discriminator_is_detected_with_any_loss_terms(options):
    config = tiny_config(**PLAINEST_NETWORKS | {"architecture": "sngan"}, **options)
    trainer = make_trainer(config, one_device())
    assert not signs.is_dead(trainer.train(1))
    *_, last = (layer for layer in trainer.state.discriminator.layers if layer.name.startswith("block_"))
    last.convolution_2.bias.assign(tf.fill(last.convolution_2.bias.shape, -1e3))  # every unit is 0 for every image
    assert signs.is_dead(trainer.train(2))


DYING_RUN = [*RUN_FLAGS, "--num_steps=200", "--sample_every=1000", "--discriminator_learning_rate=0.3"]
DYING_RUN += ["--architecture=sngan", "--attention_resolutions=", "--nogenerator_spectral_norm"]
DYING_RUN += [f"--{name}=10" for name in ("steps_per_loop", "log_every", "checkpoint_every")]


def test_a_run_ends_when_its_discriminator_dies(tmp_path, capsys):
    assert commands.train([*DYING_RUN, f"--run_dir={tmp_path}"]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert "on_unhealthy" in last and "--discriminator_learning_rate" in last
    stopped_at = read_metrics(tmp_path / "metrics.jsonl")[-1]["step"]
    assert 10 < stopped_at < 200 and not (tmp_path / f"checkpoints/step-{stopped_at}.index").exists()


@pytest.mark.slow
def test_health_readings_do_not_change_training(tmp_path):
    found = []
    for every in (0, 1):
        options = {**PLAINEST_NETWORKS, "steps_per_loop": 4, "health_every": every}
        config = run_config(tmp_path / f"{every}", 3, **options)
        train(config)
        found.append(restore_values(config))
        readings = [line for line in read_metrics(tmp_path / f"{every}/metrics.jsonl") if line["kind"] == "health"]
        assert len(readings) == 3 * every and all(signs.LATENT_RANK in line for line in readings)
    assert find_differences(*found) == set()
    assert tiny_config(sample_every=7).training.health_interval == 7


def run_until_a_sign(directory, monkeypatch):
    """Run until a sign that is found in the first reading, and return the function that makes the configuration."""
    always = dataclasses.replace(health.SIGNS["dying discriminator"], is_unhealthy=lambda values: True)
    monkeypatch.setattr(health, "SIGNS", {"always": always})
    options = {"steps_per_loop": 1, "health_every": 1, "checkpoint_every": 1000, **PLAINEST_NETWORKS}
    make_config = functools.partial(run_config, directory, 4, **options)
    with pytest.raises(UnhealthyError, match=rf"step 2.*{directory}/checkpoints/step-2"):
        train(make_config(on_unhealthy="stop"))
    return make_config


def test_a_run_that_stops_for_a_sign_has_saved_its_step(tmp_path, monkeypatch):
    run_until_a_sign(tmp_path, monkeypatch)
    assert (tmp_path / "checkpoints/step-2.index").exists()


@pytest.mark.slow
def test_a_run_that_stops_for_a_sign_resumes(tmp_path, monkeypatch):
    config = run_until_a_sign(tmp_path, monkeypatch)(on_unhealthy="warn")
    train(config)
    assert restore_values(config)["step"] == 4
