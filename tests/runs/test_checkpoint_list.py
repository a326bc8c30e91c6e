"""Tests of the checkpoint list, which TensorFlow can read and write."""

import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from sagan_tf.runs.checkpoint_list import LIST_FILE, read_checkpoint_list, write_checkpoint_list

ALL = 'all_model_checkpoint_paths: "{}"\n'


def test_tensorflow_reads_our_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for directory in (tmp_path / "absolute", pathlib.Path("relative")):
        directory.mkdir()
        write_checkpoint_list(directory, {"step-9": 3.0, "step-2": 4.0})
        (directory / "step-2.index").touch()
        assert read_checkpoint_list(directory) == {"step-9": 3.0, "step-2": 4.0}
        moved = directory.rename(tmp_path / "moved")
        assert tf.train.latest_checkpoint(moved) == str(moved / "step-2")
        manager = tf.train.CheckpointManager(tf.train.Checkpoint(), str(moved), max_to_keep=2)
        assert [os.path.basename(path) for path in manager.checkpoints] == ["step-9", "step-2"]
        shutil.rmtree(moved)


def test_we_read_the_list_of_tensorflow(tmp_path):
    assert read_checkpoint_list(tmp_path) == {}
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(), str(tmp_path), max_to_keep=2, checkpoint_name="step")
    for step in (1, 2, 7):
        manager.save(checkpoint_number=step)
    assert (
        list(read_checkpoint_list(tmp_path)) == ["step-2", "step-7"]
        and min(read_checkpoint_list(tmp_path).values()) > 1e9
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('model_checkpoint_path: "step-4"\n', ["step-4"]),
        ('model_checkpoint_path: "/old/step-4"\nall_model_checkpoint_paths: "../b/step-3"\n', ["step-3", "step-4"]),
        ('model_checkpoint_path: "step-4"\nall_model_checkpoint_paths: "step-*"\n', ["step-4"]),
        ('model_checkpoint_path: "step-4"\n' + ALL.format("step-4") + ALL.format("step-3"), ["step-3", "step-4"]),
        ('model_checkpoint_path: "other"\nall_model_checkpoint_paths: "step-3"\n', []),
        ("nonsense", []),
        ("", []),
    ],
)
def test_lists_that_people_edited(text, expected, tmp_path):
    (tmp_path / LIST_FILE).write_text(text)
    assert list(read_checkpoint_list(tmp_path)) == expected
