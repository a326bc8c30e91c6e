"""Pictures in folders: shards, restarts, what is in the way and what is removed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import io
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.sampling import image_files
from sagan_tf.sampling.image_files import PictureSet, class_folders, write_pictures
from sagan_tf.visualization.png import encode_pngs

FOLDERS = ("boot", "bag", "coat")
SET = PictureSet("run, step 2", 10, 11, (2, 0), FOLDERS, None)


def draw(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
    """A grey picture of 2 x 2 that says its seed and label."""
    rows = np.stack([seeds, labels, seeds + labels, np.zeros_like(seeds)], 1).astype(np.uint8)
    return encode_pngs(tf.constant(rows.reshape(-1, 2, 2, 1)))


class CutOff:
    """Draws so many batches, then fails as if the program had been ended."""

    def __init__(self, batches: int) -> None:
        self._left = batches
        self._lock = threading.Lock()

    def __call__(self, seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
        with self._lock:
            self._left -= 1
            if self._left < 0:
                raise RuntimeError("ended")
        return draw(seeds, labels)


def write(
    folder: pathlib.Path,
    pictures: PictureSet = SET,
    by: Callable[[np.ndarray, np.ndarray], tf.Tensor] = draw,
    **options: Any,
) -> int:
    return write_pictures(
        pictures, by, folder, **{"part": 0, "parts": 1, "batch_size": 2, "overwrite": False, **options}
    )


def message(folder: pathlib.Path, *arguments: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        write(folder, *arguments, **options)
    return str(caught.value)


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pngs(folder: pathlib.Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if name.endswith(".png")}


def test_every_seed_once_in_the_folder_of_its_class(tmp_path: pathlib.Path) -> None:
    assert write(tmp_path / "a") == 11
    expected = {f"{FOLDERS[(2, 0)[seed % 2]]}/{seed:08d}.png": seed for seed in range(10, 21)}
    found = files(tmp_path / "a")
    record = json.loads(found.pop("seeds_10_20.json"))
    assert found.keys() == expected.keys()
    for name, seed in expected.items():
        pixels = np.asarray(Image.open(io.BytesIO(found[name])))
        assert pixels.ravel().tolist() == [seed, (2, 0)[seed % 2], seed + (2, 0)[seed % 2], 0]
    assert record["seeds"] == [10, 21] and record["complete"] is True and record["generator"] == "run, step 2"


def test_without_classes_they_lie_in_the_folder_itself(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a", dataclasses.replace(SET, labels=(0,), folders=(), first_seed=0, count=2))
    assert sorted(files(tmp_path / "a")) == ["00000000.png", "00000001.png", "seeds_0_1.json"]


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 11, 13])
def test_shards_are_the_whole_set_without_repetition(parts: int, tmp_path: pathlib.Path) -> None:
    write(tmp_path / "whole")
    counts = [write(tmp_path / "shards", part=part, parts=parts) for part in reversed(range(parts))]
    assert sum(counts) == 11 and max(counts) - min(counts) <= 1
    assert [seed for part in range(parts) for seed in SET.part(part, parts)] == list(range(10, 21))
    assert pngs(tmp_path / "shards") == pngs(tmp_path / "whole")


def test_pictures_that_were_removed_are_made_again(tmp_path: pathlib.Path) -> None:
    write(tmp_path)
    before = files(tmp_path)
    for seed in (12, 17):
        (tmp_path / SET.path(seed)).unlink()
    assert write(tmp_path) == 2
    assert files(tmp_path) == before
    assert "of which 10 to 20 are there" in message(tmp_path)


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_what_was_cut_off_goes_on(batches: int, tmp_path: pathlib.Path) -> None:
    write(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="^ended$"):
        write(tmp_path / "parts", by=CutOff(batches))
    there = pngs(tmp_path / "parts")
    assert len(there) == 2 * batches
    assert json.loads((tmp_path / "parts" / "seeds_10_20.json").read_text())["complete"] is False
    drawn: list[int] = []

    def noting(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
        drawn.extend(seeds.tolist())
        return draw(seeds, labels)

    assert write(tmp_path / "parts", by=noting) == 11 - 2 * batches == len(drawn)
    assert not {f"{seed:08d}.png" for seed in drawn} & {name.split("/")[1] for name in there}
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_half_written_picture_is_written_again(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="^ended$"):
        write(tmp_path / "a", by=CutOff(0))
    (tmp_path / "a" / "boot" / "00000011.png.part").write_bytes(b"half")
    write(tmp_path / "whole")
    write(tmp_path / "a")
    assert files(tmp_path / "a") == files(tmp_path / "whole")


def test_seeds_that_are_there_are_refused(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a"
    write(folder, part=0, parts=2)  # 10 to 14
    before = files(folder)
    for options, seeds in (({"part": 0, "parts": 2}, "10 to 14"), ({}, "10 to 20")):
        assert message(folder, **options) == (
            f"output: expected seeds that are not in {folder} yet, received {seeds}, of which 10 to 14 are there; "
            "--overwrite replaces them"
        )
    assert message(folder, part=1, parts=3).endswith(
        "received 13 to 16, of which 13 to 14 are there; --overwrite without --shard replaces them"
    )
    assert files(folder) == before


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "others"},
        {"truncation": 0.5},
        {"labels": (0, 2)},
        {"count": 30},
        {"first_seed": 100},
        {"folders": ("a", "b", "c")},
    ],
)
def test_another_set_is_refused(change: dict[str, Any], tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a"
    write(folder)
    before = files(folder)
    assert message(folder, dataclasses.replace(SET, **change)) == (
        f"output: expected a folder for these pictures, received {folder}, which holds others (11 from seed 10 on of "
        "run, step 2); --overwrite replaces them"
    )
    assert files(folder) == before


def test_another_set_that_was_cut_off_does_not_go_on(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="^ended$"):
        write(tmp_path / "a", by=CutOff(1))
    assert "which holds others" in message(tmp_path / "a", dataclasses.replace(SET, weights="other"))


def test_truncation_survives_its_record(tmp_path: pathlib.Path) -> None:
    truncated = dataclasses.replace(SET, truncation=0.1)
    write(tmp_path / "a", truncated, part=0, parts=2)
    assert write(tmp_path / "a", truncated, part=1, parts=2) == 6


def test_overwriting_removes_what_is_recorded_and_nothing_else(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a"
    for part in range(2):
        write(folder, part=part, parts=2)
    own = {"notes.txt": b"mine", "boot/holiday.png": b"mine too", "boot/00000099.png": b"and this"}
    for name, content in own.items():
        (folder / name).write_bytes(content)
    other = dataclasses.replace(SET, weights="other", first_seed=12, count=4, labels=(1,))
    assert write(folder, other, overwrite=True) == 4
    expected = {f"bag/{seed:08d}.png" for seed in range(12, 16)} | {"seeds_12_15.json"} | own.keys()
    found = files(folder)
    assert found.keys() == expected
    assert {name: found[name] for name in own} == own


def test_a_shard_does_not_overwrite_another_set(tmp_path: pathlib.Path) -> None:
    """Others may be writing theirs at this moment."""
    write(tmp_path / "a")
    before = files(tmp_path / "a")
    other = dataclasses.replace(SET, weights="other")
    found = message(tmp_path / "a", other, part=0, parts=2, overwrite=True)
    assert found.endswith("; --overwrite without --shard replaces them") and files(tmp_path / "a") == before


def test_a_name_is_no_identity(tmp_path: pathlib.Path) -> None:
    """A run may be moved."""
    write(tmp_path / "a", part=0, parts=2)
    assert write(tmp_path / "a", dataclasses.replace(SET, generator="moved"), part=1, parts=2) == 6


def test_shards_begin_together(tmp_path: pathlib.Path) -> None:
    many = dataclasses.replace(SET, count=40, folders=tuple(f"class {label}" for label in range(300)))
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        shards = [threads.submit(write, tmp_path / "a", many, part=part, parts=8) for part in range(8)]
    assert sum(shard.result() for shard in shards) == 40
    assert len(list((tmp_path / "a").glob("*/*.png"))) == 40


def test_overwriting_leaves_other_shards_of_the_set(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a"
    for part in range(2):
        write(folder, part=part, parts=2)
    before = files(folder)
    (folder / SET.path(10)).write_bytes(b"damaged")
    drawn: list[int] = []

    def noting(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
        drawn.extend(seeds.tolist())
        return draw(seeds, labels)

    assert write(folder, by=noting, part=0, parts=2, overwrite=True) == 5
    assert sorted(drawn) == [10, 11, 12, 13, 14] and files(folder) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_someone_else(overwrite: bool, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    expected = f"output: expected an empty folder, or one with pictures of this tool, received {tmp_path}"
    assert message(tmp_path, overwrite=overwrite) == expected
    expected = f"output: expected a folder, received the file {tmp_path / 'a.txt'}"
    assert message(tmp_path / "a.txt", overwrite=overwrite) == expected
    assert files(tmp_path) == {"a.txt": b"mine"}


@pytest.mark.parametrize("name", ["..", "../b", "/b", "b/../..", "", "."])
def test_records_that_lead_elsewhere_are_refused(name: str, tmp_path: pathlib.Path) -> None:
    """Overwriting would remove files that this tool has not made."""
    folder = tmp_path / "a"
    write(folder)
    path = folder / "seeds_10_20.json"
    record = json.loads(path.read_text())
    record["folders"][2] = name
    path.write_text(json.dumps(record))
    before = files(tmp_path)
    expected = f"output: expected a record of this tool in {path}, received folders that lead elsewhere"
    assert message(folder, overwrite=True) == expected
    assert files(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"seeds": [1], "complete": true}'])
def test_damaged_records_are_refused(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "seeds_0_1.json"
    path.write_text(text)
    assert message(tmp_path, overwrite=True).startswith(f"output: expected a record of this tool in {path}, received ")
    assert files(tmp_path) == {"seeds_0_1.json": text.encode()}


@pytest.mark.parametrize(
    ("num_classes", "names", "expected"),
    [
        (3, ("boot", "Ankle boot", "日本"), ("boot", "Ankle boot", "日本")),
        (3, ("a", "b/c", "d"), ("0", "1", "2")),
        (3, ("a", "..", "d"), ("0", "1", "2")),
        (3, ("a", ".hidden", "d"), ("0", "1", "2")),
        (3, ("a", "b\\c", "d"), ("0", "1", "2")),
        (3, ("a", "b:c", "d"), ("0", "1", "2")),
        (3, ("a", "b\n", "d"), ("0", "1", "2")),
        (3, ("a", "b.", "d"), ("0", "1", "2")),
        (3, ("a", "b ", "d"), ("0", "1", "2")),
        (3, ("a", "", "d"), ("0", "1", "2")),
        (3, ("a", "b" * 101, "d"), ("0", "1", "2")),
        (3, ("bat", "Bat", "owl"), ("0", "1", "2")),
        (3, ("a", "a", "b"), ("0", "1", "2")),
        (2, (), ("0", "1")),
        (11, (), tuple(f"{label:02d}" for label in range(11))),
        (10, (), tuple("0123456789")),
        (0, (), ()),
    ],
)
def test_folders_of_classes(num_classes: int, names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert class_folders(num_classes, names) == expected


def test_a_disk_that_fills_up(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; and when there is room again, it goes on."""
    real = image_files.os.write
    monkeypatch.setattr(image_files.os, "write", lambda file, content: real(file, content[:20]))
    folder = tmp_path / "a"
    assert message(folder) == f"output: expected to write into {folder}, received no space left"
    assert pngs(folder) == {}
    monkeypatch.undo()
    assert write(folder) == 11
    write(tmp_path / "whole")
    assert pngs(folder) == pngs(tmp_path / "whole")


def test_a_place_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("mine")
    expected = f"output: expected to write into {tmp_path / 'file' / 'a'}, received Not a directory"
    assert message(tmp_path / "file" / "a") == expected
