"""`tools/lay_out_classes.py` on nested directories."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from tests.data.sample_folders import build_class_directories
from tools.lay_out_classes import run


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Return 2 classes of 6 images, one with nested images, and an empty class."""
    source = tmp_path / "nested"
    build_class_directories(source)
    (source / "cat" / "tabby").mkdir()
    (source / "cat" / "000.png").rename(source / "cat" / "tabby" / "000.png")
    (source / "cat" / "linked.png").symlink_to(source / "dog" / "000.png")
    (source / "cat" / "dangling.png").symlink_to("absent.png")
    (source / "again").symlink_to("dog")
    (source / "empty").mkdir()
    (source / "cat" / "readme.txt").write_text("no image")
    return source


def test_classes_are_top_level_directories(nested: Path, tmp_path: Path, capsys) -> None:
    assert run([f"--source={nested}", f"--output={tmp_path / 'out'}"]) == 0
    printed = capsys.readouterr().out
    assert "cat: 6\ndog: 6\n" in printed and "empty (0)" in printed
    names = sorted(path.name for path in (tmp_path / "out" / "cat").iterdir())
    assert names == [f"00{number}.png" for number in range(1, 6)] + ["tabby__000.png"]
    config = DataConfig(dataset="folder", data_dir=str(tmp_path / "out"))
    source = open_source(config, resolution=16, image_channels=3)
    assert source.class_names == ("cat", "dog") and source.class_counts.tolist() == [6, 6]
    assert sum(1 for _ in source.preview(12)) == 12


def test_held_out_images_of_each_class(nested: Path, tmp_path: Path, capsys) -> None:
    def read(output: Path) -> dict[str, list[str]]:
        return {
            part: sorted(str(link.relative_to(output / part)) for link in (output / part).glob("*/*"))
            for part in ("train", "held_out")
        }

    options = [f"--source={nested}", "--held_out_fraction=0.25"]
    assert run([*options, f"--output={tmp_path / 'out'}"]) == 0
    assert "out/train: 8 images of 2 classes\n" in (printed := capsys.readouterr().out)
    assert "out/held_out: 4 images of 2 classes\n" in printed  # 1.5 of 6 images, rounded up
    parts = read(tmp_path / "out")
    names = [f"00{number}.png" for number in range(1, 6)]
    expected = [f"cat/{name}" for name in [*names, "tabby__000.png"]] + [f"dog/{name}" for name in ["000.png", *names]]
    assert sorted(parts["train"] + parts["held_out"]) == sorted(expected)
    assert [name[:3] for name in parts["held_out"]] == ["cat", "cat", "dog", "dog"]
    # A larger share adds held-out images and moves none back to the training images.
    assert run([f"--source={nested}", "--held_out_fraction=0.5", f"--output={tmp_path / 'half'}"]) == 0
    assert set(parts["held_out"]) < set(read(tmp_path / "half")["held_out"])


def test_the_held_out_images_are_those_of_the_lowest_digests(nested: Path, tmp_path: Path) -> None:
    assert run([f"--source={nested}", "--held_out_fraction=0.25", f"--output={tmp_path / 'out'}"]) == 0
    held_out = {str(link.relative_to(tmp_path / "out/held_out")) for link in (tmp_path / "out/held_out").glob("*/*")}
    paths = [path.relative_to(nested) for name in ("cat", "dog") for path in (nested / name).rglob("*.png")]
    expected = {
        str(path)
        for name in ("cat", "dog")
        for path in sorted(
            (path for path in paths if path.parts[0] == name and not (nested / path).is_symlink()),
            key=lambda path: hashlib.sha256(str(path).encode()).hexdigest(),
        )[:2]
    }
    assert held_out == {path.replace("tabby/", "tabby__") for path in expected}


def test_names_of_unused_classes_do_not_matter(nested: Path, tmp_path: Path) -> None:
    build_class_directories(nested / "other")
    (nested / "other" / "cat__000.png").touch()
    assert run([f"--source={nested}", "--classes=cat,dog", f"--output={tmp_path / 'out'}"]) == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--min_images=7"], "source: "),
        (["--source=/absent"], "/absent"),
        (["--classes=cat,bird"], "'bird'"),
        (["--classes=cat"], "source: "),
        (["--classes=cat,,dog"], "--classes"),
        (["--held_out_fraction=1"], "held_out_fraction: expected at least 0 and below 1, received 1"),
        (
            ["--held_out_fraction=0.9"],
            "held_out_fraction: 0.9 leaves no training images of cat (images: 6, subjects: 6)",
        ),
        (["--output=/proc/absent"], "output"),
        (["--output={nested}", "--source=/absent"], "/nested already exists"),
        ([], "tabby__000.png"),
    ],
)
def test_errors_leave_nothing_behind(options: list[str], named: str, nested: Path, tmp_path: Path, capsys) -> None:
    options = [option.format(nested=nested) for option in options]
    if named == "tabby__000.png":  # Two images of a class would have the same link.
        (nested / "cat" / named).write_bytes(b"")
    assert run([f"--source={nested}", f"--output={tmp_path / 'out'}", *options]) == 2
    error = capsys.readouterr().err
    assert named in error and "--overwrite" not in error  # The tool has no such flag.
    assert [path.name for path in tmp_path.iterdir()] == ["nested"]
