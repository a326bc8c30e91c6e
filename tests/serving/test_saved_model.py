"""Folders of SavedModels: whole or not there, readable, and of use where this package is not installed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.serving import saved_model
from sagan_tf.serving.saved_model import whole_folder, write_saved_model
from sagan_tf.serving.signatures import ExportedNetwork, export_generator
from sagan_tf.serving.warm_up import WARM_UP_FILE
from tests.serving.cc_session import CcSession
from tests.serving.small_export import Exported, export_config, files_below, inputs_for, make_generator, save_generator

PARTS = ("model_card.json", "saved_model.pb", str(WARM_UP_FILE), "variables/variables.index")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return save_generator(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def network_to_write() -> ExportedNetwork:
    return export_generator(make_generator(export_config(attention_resolutions=())), 3)


def fill(path: pathlib.Path, text: str) -> None:
    with whole_folder(path) as folder:
        (folder / "a").write_text(text)


def test_a_version_is_there_with_all_its_parts(exported: Exported) -> None:
    assert set(PARTS) <= set(files_below(exported.path))
    assert json.loads((exported.path / "model_card.json").read_text())["class_names"] == ["apple", "banana", "cherry"]
    assert [path.name for path in exported.path.parent.iterdir()] == ["7"]


def test_no_version_is_seen_before_it_is_whole(network_to_write: ExportedNetwork, tmp_path: pathlib.Path) -> None:
    """By a server that looks all the time."""
    seen: list[set[str]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.extend(
                set(files_below(path)) for path in tmp_path.iterdir() if path.name.isdecimal() and path.is_dir()
            )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for version in (1, 2):
            with whole_folder(tmp_path / str(version)) as folder:
                write_saved_model(network_to_write, {}, folder)
    finally:
        done.set()
        thread.join()
    assert seen and all(set(PARTS) <= one for one in seen)


def test_the_warm_up_requests_are_right(exported: Exported) -> None:
    """Of every signature: a server that gets an error for one does not load the version."""
    from tensorflow_serving.apis import prediction_log_pb2

    asked = set()
    for record in tf.data.TFRecordDataset(str(exported.path / WARM_UP_FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        exported.call(request.model_spec.signature_name, **inputs)
        asked.add(request.model_spec.signature_name)
    assert asked == set(exported.model.signatures)


def test_a_server_answers_as_python_does(exported: Exported) -> None:
    session, inputs = CcSession(exported.path), inputs_for(exported.config)
    seeds = {"seeds": np.array([-1, 2**40, 3]), "truncation": np.array([0.5, 8.0, np.inf], np.float32)}
    queries = np.array([[0, 0], [15, 15], [3, 2]], np.int32)
    for name, given in (
        ("serving_default", inputs),
        ("attention", inputs | {"queries": queries}),
        ("generate", seeds | {"labels": inputs["labels"]}),
    ):
        (found,) = session.run(name, given).values()
        expected = exported.call(name, **given)
        if name == "generate":
            assert found.tolist() == expected.tolist()
        else:
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("error", [RuntimeError("of something else"), KeyboardInterrupt()])
@pytest.mark.parametrize("older", [True, False])
def test_an_error_leaves_nothing_behind(error: BaseException, older: bool, tmp_path: pathlib.Path) -> None:
    if older:
        fill(tmp_path / "2", "older")
    before = files_below(tmp_path)
    with pytest.raises(type(error)), whole_folder(tmp_path / "2") as folder:
        (folder / "a").write_text("half")
        raise error
    assert files_below(tmp_path) == before
    assert not older or (tmp_path / "2" / "a").read_text() == "older"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (tf.errors.ResourceExhaustedError(None, None, "disk is full"), "disk is full"),
    ],
)
def test_what_cannot_be_written(error: Exception, reason: str, tmp_path: pathlib.Path) -> None:
    fill(tmp_path / "2", "older")
    with pytest.raises(UserError) as caught, whole_folder(tmp_path / "2"):
        raise error
    assert str(caught.value) == f"output: expected to write {tmp_path / '2'}, received {reason}"
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "older"


def test_an_older_version_outlives_a_new_one_that_cannot_take_its_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "2", "older")
    true_replace = os.replace

    def refused(source: Any, target: Any, **options: Any) -> None:
        if pathlib.Path(source).name == "new":
            raise PermissionError(1, "Operation not permitted")
        true_replace(source, target, **options)

    monkeypatch.setattr(os, "replace", refused)
    monkeypatch.setattr(saved_model.os, "replace", refused)
    with pytest.raises(UserError, match="Operation not permitted"):
        fill(tmp_path / "2", "newer")
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "older"


def test_a_new_version_takes_the_place_of_an_older_one(tmp_path: pathlib.Path) -> None:
    with whole_folder(tmp_path / "2") as folder:
        (folder / "only in the older").mkdir()
    fill(tmp_path / "2", "newer")
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "newer"


def test_folders_above_are_made(tmp_path: pathlib.Path) -> None:
    fill(tmp_path / "a" / "b" / "2", "new")
    assert files_below(tmp_path / "a") == ["b", "b/2", "b/2/a"]


def test_a_file_in_the_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="^output: expected to write .*/file/2, received "):
        fill(tmp_path / "file" / "2", "new")
    assert (tmp_path / "file").read_text() == "mine" and files_below(tmp_path) == ["file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o027, 0o750)])
def test_others_may_read_what_the_umask_lets_them(mask: int, mode: int, tmp_path: pathlib.Path) -> None:
    """A server seldom runs as whoever exports."""
    before = os.umask(mask)
    try:
        fill(tmp_path / "2", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "2").stat().st_mode & 0o777 == mode
    assert (tmp_path / "2" / "a").stat().st_mode & 0o777 == mode & 0o666


PROGRAM = """
import sys
sys.modules.update(sagan_tf=None, keras=None, tf_keras=None)  # an import of them fails
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
inputs = {name: tf.constant(given[name]) for name in ("latents", "labels")}
images = model.signatures["serving_default"](**inputs)["images"]
seeds = tf.range(3, dtype=tf.int64)
png = model.signatures["generate"](seeds=seeds, labels=inputs["labels"], truncation=tf.ones(3))["png_bytes"]
pictures = [tf.io.decode_png(one).shape for one in png]
np.savez(sys.argv[3], images=images, pictures=pictures, files=[one.numpy().hex() for one in png])
"""


def test_it_is_of_use_without_this_package_and_keras(exported: Exported, tmp_path: pathlib.Path) -> None:
    inputs = inputs_for(exported.config)
    np.savez(tmp_path / "given.npz", **inputs)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, exported.path, tmp_path / "given.npz", tmp_path / "b.npz"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    with np.load(tmp_path / "b.npz") as made:
        np.testing.assert_allclose(made["images"], exported.call("serving_default", **inputs), atol=1e-5)
        assert made["pictures"].tolist() == [[32, 32, 3]] * 3
        ones = np.ones(3, np.float32)
        files = exported.call("generate", seeds=np.arange(3), labels=inputs["labels"], truncation=ones)
        assert [bytes.fromhex(one) for one in made["files"]] == files.tolist()  # whoever asks, whenever
