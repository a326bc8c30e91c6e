"""Tests of saving, finding and restoring checkpoints."""

import os
import pathlib

import pytest

from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoints import BEST_DIRECTORY, Checkpoints, restore_latest
from sagan_tf.runs.load_networks import find_checkpoint, load_generator
from tests.training.tiny import (
    PLAINEST_NETWORKS,
    find_differences,
    make_state,
    make_trainer,
    one_device,
    read_all_values,
    read_values,
    tiny_config,
)


@pytest.mark.parametrize("precision", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_restored_state_is_bit_identical(tmp_path, precision):
    config = tiny_config(architecture="dcgan", precision=precision)  # with attention and spectral normalization
    trainer = make_trainer(config, one_device())
    trainer.train(2)
    saved = read_all_values(trainer.state)
    path = Checkpoints(tmp_path, trainer.state, keep=2).save()
    assert path.endswith("step-2")

    restored = make_state(tiny_config(architecture="dcgan", precision=precision, seed=1), one_device())
    fresh = read_all_values(restored)
    assert len(find_differences(fresh, saved)) > len(saved) / 2
    assert restore_latest(restored, tmp_path) == 2
    assert find_differences(read_all_values(restored), saved) == set()
    if precision == "mixed_float16":
        assert restored.read_loss_scales() == trainer.state.read_loss_scales()


def test_a_checkpoint_is_on_the_disk_before_an_older_one_is_removed(tmp_path, monkeypatch):
    """A power failure then leaves at least one complete checkpoint."""
    state, synced = make_state(tiny_config(**PLAINEST_NETWORKS), one_device()), []
    older = tmp_path / "step-0.index"

    def sync(descriptor: int) -> None:
        synced.append((pathlib.Path(f"/proc/self/fd/{descriptor}").readlink().name, older.exists()))

    Checkpoints(tmp_path, state, keep=1).save()
    monkeypatch.setattr(os, "fsync", sync)
    state.step.assign(2)
    Checkpoints(tmp_path, state, keep=1).save()
    names = [name for name, is_older_there in synced if is_older_there]
    assert {"step-2.index", "step-2.data-00000-of-00001", "checkpoint.part", tmp_path.name} <= set(names)
    assert not older.exists()


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    """Step 1 is removed, but step 10, whose name has the same beginning, is kept."""
    state = make_state(tiny_config(**PLAINEST_NETWORKS), one_device())
    checkpoints = Checkpoints(tmp_path, state, keep=2)
    for step in (1, 10, 11):
        state.step.assign(step)
        checkpoints.save()
    for ending in ("index", "data-00000-of-00001"):
        assert sorted(path.name for path in tmp_path.glob(f"*.{ending}")) == [f"step-10.{ending}", f"step-11.{ending}"]


@pytest.mark.parametrize("options", [{"base_channels": 4}, {"attention_resolutions": (8,)}])
def test_a_checkpoint_of_different_networks_is_rejected(tmp_path, options):
    Checkpoints(tmp_path, make_state(tiny_config(**PLAINEST_NETWORKS), one_device()), keep=1).save()
    restored = make_state(tiny_config(**(PLAINEST_NETWORKS | options)), one_device())
    with pytest.raises(UserError, match="^checkpoint: .*step-0.*configuration"):
        restore_latest(restored, tmp_path)


def test_load_generators_by_the_name_of_the_checkpoint(tmp_path):
    """Find the newest, the best and those of a step, of which one exists only as the best checkpoint."""
    config = tiny_config(ema_decay=0.5, **PLAINEST_NETWORKS)
    trainer = make_trainer(config, one_device())
    checkpoints = Checkpoints(tmp_path, trainer.state, keep=2)
    trainer.train(1)
    Checkpoints(tmp_path / BEST_DIRECTORY, trainer.state, keep=1).save()
    for _ in range(2):
        trainer.train(1)
        checkpoints.save()
    names = {"latest": "step-3", "best": "best/step-1", "2": "step-2", "1": "best/step-1", "best/1": "best/step-1"}
    for name, expected in names.items():
        assert find_checkpoint(tmp_path, name) == str(tmp_path / expected)
        assert load_generator(config, tmp_path, name)[1] == int(expected[-1])
    averaged, live = (read_values(load_generator(config, tmp_path, use_ema=use_ema)[0]) for use_ema in (True, False))
    assert find_differences(read_values(trainer.state.generator_ema), averaged) == set()
    assert find_differences(read_values(trainer.state.generator), live) == set() != find_differences(live, averaged)
    with pytest.raises(UserError, match=r"^checkpoint: .*step 7 .*: 2, 3$"):
        find_checkpoint(tmp_path, "7")
    with pytest.raises(UserError, match=r"^checkpoint: .*step 2 .*best; .*: 1$"):
        find_checkpoint(tmp_path, "best/2")
    with pytest.raises(UserError, match=r"^checkpoint: .*best .*--evaluate_every"):
        find_checkpoint(tmp_path / "nowhere", "best")
    with pytest.raises(UserError, match="^checkpoint: .*step-3"):
        load_generator(tiny_config(base_channels=4, **PLAINEST_NETWORKS), tmp_path)
    with pytest.raises(UserError, match="^checkpoint: .*nowhere"):
        load_generator(config, tmp_path / "nowhere")


def test_the_error_about_a_missing_list_names_the_last_step(tmp_path):
    for step in (900, 1000):
        (tmp_path / f"step-{step}.index").touch()
    with pytest.raises(UserError, match='model_checkpoint_path: "step-1000"'):
        find_checkpoint(tmp_path, "latest")


@pytest.mark.parametrize("damage", ["cut", "gone", "list", "empty list", "no list"])
def test_damage_is_an_error_and_never_starts_a_new_run(tmp_path, damage):
    state = make_state(tiny_config(**PLAINEST_NETWORKS), one_device())
    assert restore_latest(state, tmp_path) is None
    Checkpoints(tmp_path, state, keep=1).save()
    listing = tmp_path / "checkpoint"
    if damage in ("cut", "gone"):
        damage_data(tmp_path / "step-0", damage)
    elif damage == "no list":
        listing.unlink()
    else:
        listing.write_text("" if damage == "empty list" else "nonsense")
    with pytest.raises(UserError, match="^checkpoint: .*step-0"):
        restore_latest(state, tmp_path)


def damage_data(prefix: pathlib.Path, kind: str) -> None:
    data, index = (prefix.with_name(f"{prefix.name}.{ending}") for ending in ("data-00000-of-00001", "index"))
    if kind == "gone":
        data.unlink()
    elif kind == "cut":
        data.write_bytes(data.read_bytes()[:1000])
    else:
        path = index if kind == "flipped in the index" else data
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["gone", "flipped", "flipped in the index"])
def test_the_checkpoint_before_a_damaged_one_is_restored(tmp_path, kind, caplog):
    """All values are restored, and the run then saves over the damaged checkpoints."""
    state = make_state(tiny_config(**PLAINEST_NETWORKS), one_device())
    checkpoints, saved = Checkpoints(tmp_path, state, keep=3), {}
    for step in (1, 2, 3):
        for variable in state.generator.trainable_variables:
            variable.assign(variable + 0.1)
        state.step.assign(step)
        checkpoints.save()
        saved[step] = read_all_values(state)
    damage_data(tmp_path / "step-2", "cut")
    damage_data(tmp_path / "step-3", kind)
    restored = make_state(tiny_config(seed=1, **PLAINEST_NETWORKS), one_device())
    with caplog.at_level("WARNING", "sagan_tf"):
        assert restore_latest(restored, tmp_path) == 1
    assert find_differences(read_all_values(restored), saved[1]) == set()
    warnings = [record.getMessage() for record in caplog.records if record.name == "sagan_tf"]
    for warning, step in zip(warnings, (3, 2), strict=True):
        assert f"{tmp_path}/step-{step} " in warning
    again = Checkpoints(tmp_path, restored, keep=3)
    for step in (2, 3):
        restored.step.assign(step)
        again.save()
    assert restore_latest(restored, tmp_path) == 3
