"""Tests of directories with special characters: all commands work and do not touch files of other runs."""

import pathlib
import shutil

import pytest
import tensorflow as tf

from sagan_tf.runs.checkpoints import Checkpoints, remove_unfinished_checkpoints, restore_latest
from sagan_tf.runs.load_networks import load_generator
from sagan_tf.training.state import TrainState
from tests import commands
from tests.faults.short_run import STEPS, run_training
from tests.features.fake_extractors import save_extractor
from tests.sampling.gray_images import read_files
from tests.training.tiny import PLAINEST_NETWORKS, make_state, one_device, tiny_config

SIBLINGS = {
    "gs[1]": "gs1",
    "run*": "runA",
    "run?": "runA",
    "run\\A": "runA",
    "{runA,runB}": "runA",
    "run A": "run",
    "r\u00fcn \u5b9f": "run",
}


@pytest.fixture(scope="module")
def state() -> TrainState:
    return make_state(tiny_config(**PLAINEST_NETWORKS), one_device())


@pytest.mark.parametrize("name", SIBLINGS)
def test_no_file_of_another_run_is_touched(name, tmp_path, state):
    directory, sibling = (tmp_path / run_name / "checkpoints" for run_name in (name, SIBLINGS[name]))

    def save(destination: pathlib.Path, keep: int, steps: tuple[int, ...]) -> None:
        checkpoints = Checkpoints(destination, state, keep)
        for step in steps:
            state.step.assign(step)
            checkpoints.save()

    save(sibling, 3, (1, 2, 3))
    (sibling / "step-1.tempstate9").touch()
    before = read_files(sibling)
    save(directory, 1, (1, 2, 3))
    remove_unfinished_checkpoints(directory)
    assert sorted(read_files(directory)) == ["checkpoint", "step-3.data-00000-of-00001", "step-3.index"]
    assert restore_latest(state, directory) == 3
    assert load_generator(tiny_config(**PLAINEST_NETWORKS), directory, "3")[1] == 3
    save(directory, 2, (4, 5))  # a resumed run, which reads the list of checkpoints again
    assert sorted(path.stem for path in directory.glob("*.index")) == ["step-4", "step-5"]
    assert tf.train.get_checkpoint_state(str(directory)).model_checkpoint_path == str(directory / "step-5")
    assert read_files(sibling) == before


def test_warning_about_a_damaged_checkpoint_has_its_path(tmp_path, state, caplog):
    directory = tmp_path / "gs[1]"
    checkpoints = Checkpoints(directory, state, 2)
    for step in (1, 2):
        state.step.assign(step)
        checkpoints.save()
    (directory / "step-2.data-00000-of-00001").write_bytes(b"cut off")
    with caplog.at_level("WARNING", "sagan_tf"):
        assert restore_latest(state, directory) == 1
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sagan_tf"]
    assert str(directory / "step-2") in line and "sagan_tf_" not in line


@pytest.mark.slow
def test_every_command_in_a_directory_with_special_characters(tmp_path, uninterrupted_run):
    place = tmp_path / "p[a] *?\\{b,c} \u00fc"
    run_dir, exports, images = place / "exp [lr=1e-4]", place / "out[1]", place / "images[2]"
    save_extractor(place / "extractor[3]")
    shutil.copytree(uninterrupted_run, run_dir)
    last = STEPS + 1
    assert run_training(run_dir, f"--num_steps={last}", "--keep_checkpoints=1") == 0
    assert [path.stem for path in (run_dir / "checkpoints").glob("*.index")] == [f"step-{last}"]
    measure = [f"--reference_dir={place / 'references[4]'}", "--reference=fashion_mnist_10k:reference"]
    measure += ["--num_samples=50", "--metrics=fcd", f"--extractor={place / 'extractor[3]'}", "--strategy=one_device"]
    measure += ["--extractor_features=pool_3", "--extractor_logits=logits"]
    assert commands.evaluate([f"--run_dir={run_dir}", *measure]) == 0
    assert '"kind": "evaluation"' in (run_dir / "metrics.jsonl").read_text()
    assert commands.export([f"--run_dir={run_dir}", f"--output={exports}"]) == 0
    grid = ["--mode=grid", "--labels=1,2"]
    assert (
        commands.sample([*grid, f"--run_dir={run_dir}", "--strategy=one_device", f"--output={place / 'run[5].png'}"])
        == 0
    )
    assert commands.sample([*grid, f"--saved_model={exports / str(last)}", f"--output={place / 'export[6].png'}"]) == 0
    assert (place / "run[5].png").is_file() and (place / "export[6].png").is_file()
    flags = ["--mode=images", "--strategy=one_device", "--num_samples=2", f"--run_dir={run_dir}", f"--output={images}"]
    assert commands.sample(flags) == 0
    assert len(list(images.rglob("*.png"))) == 2
