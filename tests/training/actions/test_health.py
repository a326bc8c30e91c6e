"""Signs are warned of once, may end a run, and a dead discriminator ends it before it is saved."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf import train as train_command
from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.losses import LOSSES
from sagan_tf.runs.checkpoints import restore_latest
from sagan_tf.training.actions import health
from sagan_tf.training.actions.health import POLICIES, SignWatch, UnhealthyError, WatchDiscriminator
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.health import signs as signs
from sagan_tf.training.health.signs import Sign
from sagan_tf.training.state import create_state
from sagan_tf.training.train import train
from tests.training.tiny import (
    PLAIN_NETWORKS,
    PLAINEST_NETWORKS,
    all_values,
    differences,
    make_trainer,
    one_device,
    tiny_config,
)
from tools.report import read_lines

ALIVE = {signs.LOGIT_RANGE: 0.5, "real_logits": 0.25, "fake_logits": -0.25}
DEAD = {signs.LOGIT_RANGE: 0.0, "real_logits": 0.25, "fake_logits": 0.25}


@pytest.fixture
def two_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign that two readings in a row above 1 show, and one that is final."""
    options = {"healthy": "at most 1", "meaning": "It is large.", "advice": "Lower --it."}
    stand_ins = {
        "large": Sign("x", (), lambda values: values["x"] > 1, patience=2, **options),
        "final": Sign("y", (), lambda values: values["y"] > 1, is_final=True, **options),
    }
    monkeypatch.setattr(health, "SIGNS", stand_ins)


def watch(policy: str) -> SignWatch:
    return SignWatch(POLICIES[policy], lambda: "run/checkpoints/step-7")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_sign_is_warned_of_once_and_again_after_a_recovery(two_signs: None, caplog: pytest.LogCaptureFixture) -> None:
    follower, found = watch("stop_dead"), []
    for step, value in enumerate([2, 2, 2, 2, 0, 2, 2, 2]):
        follower.follow({"x": float(value)}, step)
        found.append(len(messages(caplog)))
    assert found == [0, 1, 1, 1, 1, 1, 2, 2]
    for text in ("large", "step 1", "x is 2", "at most 1", "--it"):
        assert text in messages(caplog)[0]
    follower.follow({"z": 5.0}, 9)  # a sign whose scalar is missing is not judged
    assert len(messages(caplog)) == 2


def test_a_reading_that_is_not_defined_is_between_readings(two_signs: None, caplog: pytest.LogCaptureFixture) -> None:
    follower = watch("stop_dead")
    for step, value in enumerate([2.0, None, 2.0]):
        follower.follow({"x": value}, step)
    assert messages(caplog) == []
    follower.follow({"x": 2.0}, 3)
    assert len(messages(caplog)) == 1


def test_a_scalar_that_is_not_defined_is_null(tmp_path: pathlib.Path) -> None:
    written: list[dict[str, float]] = []
    path = tmp_path / "metrics.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "write_scalars", lambda writer, step, scalars: written.append(dict(scalars)))
        readers = [lambda: {"a": 1.0}, lambda: {"b": None}]
        action = health.Health(readers, watch("warn"), path, None)  # type: ignore[arg-type]
        metrics = {"real_logits": 0.5, "fake_logits": 0.25}
        action(StepReport(7, 1, metrics, 1.0, last=False))
    (line,) = read_lines(path)
    assert line["a"] == 1.0 and line["b"] is None and line[signs.LOGIT_GAP] == 0.25
    assert written == [{"a": 1.0, signs.LOGIT_GAP: 0.25}]


@pytest.mark.parametrize(
    ("policy", "values", "ends"),
    [("warn", {"x": 2.0, "y": 2.0}, False), ("stop_dead", {"x": 2.0}, False), ("stop_dead", {"y": 2.0}, True),
     ("stop", {"x": 2.0}, True)],
)  # fmt: skip
def test_what_ends_a_run(two_signs: None, policy: str, values: Mapping[str, float], ends: bool) -> None:
    follower = watch(policy)
    follower.follow(values, 1) if not ends or "x" in values else None
    if ends:
        with pytest.raises(UnhealthyError, match=next(iter(values))) as caught:
            follower.follow(values, 2)
        assert ("run/checkpoints/step-7" in str(caught.value)) == ("x" in values)  # a final sign is not saved
    else:
        follower.follow(values, 2)


class FakeCheckpoints:
    def __init__(self, *steps: int) -> None:
        self._steps = steps

    def newest_until(self, step: int) -> str | None:
        return next((f"elsewhere/step-{one}" for one in reversed(self._steps) if one <= step), None)


def watch_reports(*reports: tuple[int, int, Mapping[str, float]], saved: tuple[int, ...] = ()) -> None:
    action: Any = WatchDiscriminator(watch("stop_dead"), FakeCheckpoints(*saved), pathlib.Path("run/checkpoints"))  # type: ignore[arg-type]
    for step, num_steps, metrics in reports:
        action(StepReport(step, num_steps, dict(metrics), 1.0, last=False))


def test_a_dead_discriminator_names_the_last_checkpoint_from_before() -> None:
    # It died in steps 21 to 40, so what was saved at 40 may be of a dead one.
    reports = ((20, 20, ALIVE), (40, 20, ALIVE), (60, 20, DEAD))
    with pytest.raises(UnhealthyError, match=r"step 60.*run/checkpoints/step-20") as caught:
        watch_reports(*reports, saved=(10, 20, 40))
    assert "--discriminator_learning_rate" in str(caught.value)
    with pytest.raises(UnhealthyError) as caught:
        watch_reports(*reports, saved=(40,))
    assert "step-40" not in str(caught.value)
    with pytest.raises(UnhealthyError):  # resumed from a checkpoint of a dead one
        watch_reports((60, 20, DEAD), saved=(40,))


@pytest.mark.parametrize(
    "metrics",
    [
        DEAD | {signs.LOGIT_RANGE: 1e-30},
        DEAD | {signs.LOGIT_RANGE: float("nan")},
        DEAD | {signs.LOGIT_RANGE: 2.0, "generator_gradient_norm": 0.0},  # of an update that loss scaling skipped
    ],
    ids=str,
)
def test_a_discriminator_that_still_tells_images_apart_is_alive(metrics: dict[str, float]) -> None:
    watch_reports((20, 20, metrics), (40, 20, metrics))
    with pytest.raises(UnhealthyError):  # what these metrics differ from
        watch_reports((20, 20, DEAD), (40, 20, DEAD))


def test_few_steps_with_constant_logits_are_no_death() -> None:
    watch_reports(*((step, 1, DEAD) for step in range(1, 10)))
    with pytest.raises(UnhealthyError):
        watch_reports(*((step, 1, DEAD) for step in range(1, 11)))


WEIGHTS = ({"orthogonal_regularization": 1e-4}, {"latent_diversity_weight": 0.5}, {"lecam_weight": 0.3})
OTHERS = ({"conditioning": "auxiliary_classifier"}, {"conditioning": "none"}, {"gradient_accumulation_steps": 2})


@pytest.mark.parametrize("options", [*WEIGHTS, *OTHERS, *({"loss": name} for name in LOSSES)], ids=str)
def test_a_discriminator_is_dead_whatever_is_added_to_the_losses(options: dict[str, Any]) -> None:
    config = tiny_config(**PLAINEST_NETWORKS, **options)
    trainer = make_trainer(config, one_device())
    assert not signs.is_dead(trainer.train(1))
    *_, last = (layer for layer in trainer.state.discriminator.layers if layer.name.startswith("block_"))
    last.convolution_1.bias.assign(tf.fill(last.convolution_1.bias.shape, -1e3))  # every unit is 0 for every image
    assert signs.is_dead(trainer.train(2))


RUN = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16"]
RUN += ["--base_channels=2", "--global_batch_size=8", "--steps_per_loop=10", "--strategy=one_device"]
RUN += ["--sample_every=1000", "--log_every=10", "--checkpoint_every=10", "--discriminator_learning_rate=0.3"]


def test_a_run_whose_discriminator_dies(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_command.run([*RUN, "--num_steps=200", f"--run_dir={tmp_path}"]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert "on_unhealthy" in last and "--discriminator_learning_rate" in last
    stopped_at = read_lines(tmp_path / "metrics.jsonl")[-1]["step"]
    assert 10 < stopped_at < 200 and not (tmp_path / f"checkpoints/step-{stopped_at}.index").exists()


def test_training_is_the_same_with_and_without(tmp_path: pathlib.Path) -> None:
    found = []
    for every in (0, 1):
        folder = tmp_path / f"{every}"
        options = {**PLAIN_NETWORKS, "num_steps": 3, "steps_per_loop": 4, "health_every": every, "run_dir": str(folder)}
        config = tiny_config(dataset="fashion_mnist_10k", num_classes=10, strategy="one_device", **options)
        train(config, config_to_flagfile)
        state = create_state(config)
        restore_latest(state, folder / "checkpoints")
        found.append(all_values(state))
        readings = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "health"]
        assert len(readings) == 3 * every and all(signs.LATENT_RANK in line for line in readings)
    assert differences(*found) == set()
    assert tiny_config(sample_every=7).training.health_interval == 7


def test_a_run_that_stops_for_a_sign_that_may_pass_loses_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is saved where it stopped, and goes on to the bits of a run that never stopped."""
    often = dataclasses.replace(health.SIGNS["dying discriminator"], is_unhealthy=lambda values: True)
    monkeypatch.setattr(health, "SIGNS", {"often": often})
    intervals = {"num_steps": 6, "steps_per_loop": 2, "health_every": 2, "checkpoint_every": 1000}
    options = {**PLAINEST_NETWORKS, **intervals, "dataset": "fashion_mnist_10k", "num_classes": 10}
    configs = {
        (policy, name): tiny_config(on_unhealthy=policy, run_dir=str(tmp_path / name), strategy="one_device", **options)
        for policy, name in (("stop", "stopped"), ("warn", "stopped"), ("warn", "whole"))
    }
    with pytest.raises(UnhealthyError, match=rf"step 4.*{tmp_path}/stopped/checkpoints/step-4"):
        train(configs["stop", "stopped"], config_to_flagfile)
    assert (tmp_path / "stopped/checkpoints/step-4.index").exists()
    found = []
    for key in (("warn", "stopped"), ("warn", "whole")):
        train(configs[key], config_to_flagfile)
        state = create_state(configs[key])
        restore_latest(state, tmp_path / key[1] / "checkpoints")
        found.append(all_values(state))
    assert differences(*found) == set()
