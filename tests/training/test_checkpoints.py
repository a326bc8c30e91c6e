import pathlib

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.training.checkpoints import Checkpoints
from tests.training.tiny import all_values, differences, make_state, make_trainer, one_device, tiny_config


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_everything_comes_back_bit_for_bit(tmp_path: pathlib.Path, precision: str):
    config = tiny_config(precision=precision)
    trainer = make_trainer(config, one_device())
    trainer.train(2)
    saved = all_values(trainer.state)
    path = Checkpoints(tmp_path, trainer.state, keep=2).save()
    assert path.endswith("step-2")

    other = make_state(tiny_config(precision=precision, seed=1), one_device())
    fresh = all_values(other)
    assert len(differences(fresh, saved)) > len(saved) / 2
    assert Checkpoints(tmp_path, other, keep=2).restore_latest() == 2
    assert differences(all_values(other), saved) == set()
    if precision == "mixed_float16":
        assert other.loss_scales() == trainer.state.loss_scales()


def test_newest_few_are_kept(tmp_path: pathlib.Path):
    trainer = make_trainer(tiny_config(), one_device())
    checkpoints = Checkpoints(tmp_path, trainer.state, keep=2)
    for _ in range(3):
        trainer.train(1)
        checkpoints.save()
    assert sorted(path.name for path in tmp_path.glob("*.index")) == ["step-2.index", "step-3.index"]


def test_no_checkpoint_is_no_step(tmp_path: pathlib.Path):
    checkpoints = Checkpoints(tmp_path, make_state(tiny_config(), one_device()), keep=1)
    assert checkpoints.latest is None and checkpoints.restore_latest() is None


@pytest.mark.parametrize("options", [{"base_channels": 4}, {"attention_resolutions": ()}])
def test_a_checkpoint_of_other_networks_is_refused(tmp_path: pathlib.Path, options: dict):
    Checkpoints(tmp_path, make_state(tiny_config(), one_device()), keep=1).save()
    other = Checkpoints(tmp_path, make_state(tiny_config(**options), one_device()), keep=1)
    with pytest.raises(UserError, match="checkpoint: expected one of this configuration, received .*step-0"):
        other.restore_latest()


def test_equal_seeds_build_equal_networks():
    states = [all_values(make_state(tiny_config(seed=seed), one_device())) for seed in (3, 3, 4)]
    assert differences(states[0], states[1]) == set()
    kernels = [name for name in states[0] if name.endswith("kernel") and "optimizer" not in name]
    assert not any(np.isclose(states[0][name], states[2][name]).all() for name in kernels)
