"""`tools/lay_out_emoji.py` on small packages of emoji."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.lay_out_emoji import run


def make_emoji(code: str, category: str, **skin_tones: bool) -> dict[str, Any]:
    """Return an emoji as in the package, with skin tones by name: whether the set has an image of it."""
    variations = {name: {"image": f"{code}-{name}.png", "has_img_SET": shown} for name, shown in skin_tones.items()}
    emoji = {"unified": code.upper(), "image": f"{code}.png", "category": category, "has_img_SET": True}
    return emoji | ({"skin_variations": variations} if variations else {})


FLAGS = [make_emoji(f"f{number}", "Flags") for number in range(5)]
EMOJI = [
    make_emoji("1f9d1", "People", dark=True, light=False),
    *(make_emoji(f"a{number}", "People") for number in range(3)),
    *FLAGS,
    make_emoji("1f469", "People", dark=True),
    make_emoji("tone", "Component"),
]
SAME_CONTENT = ("f3.png", "f1.png")
"""Files of the set google with equal content."""


def get_path(image_set: str, name: str, node_modules: Path) -> Path:
    """Return the path of an image of a package."""
    return node_modules / f"emoji-datasource-{image_set}" / "img" / image_set / "64" / name


def write_package(node_modules: Path, emoji: object, image_set: str = "google") -> None:
    """Write a package as npm installs it, with files of different content except SAME_CONTENT."""
    package = node_modules / f"emoji-datasource-{image_set}"
    get_path(image_set, "", node_modules).mkdir(parents=True)
    text = emoji if isinstance(emoji, str) else json.dumps(emoji)
    (package / "emoji.json").write_text(text.replace("SET", image_set))
    for entry in EMOJI:
        for image in (entry, *entry.get("skin_variations", {}).values()):
            name = image["image"]
            content = SAME_CONTENT[1] if name in SAME_CONTENT and image_set == "google" else name
            get_path(image_set, name, node_modules).write_text(f"{content} {image_set}")


def read_links(output: Path) -> dict[str, set[str]]:
    """Return the names of the links by directory."""
    links: dict[str, set[str]] = {}
    for link in output.rglob("*.png"):
        assert link.resolve().name == link.name.split("__")[1] and link.exists()
        links.setdefault(str(link.parent.relative_to(output)), set()).add(link.name)
    return links


def test_classes_are_groups_of_unicode(tmp_path: Path, capsys) -> None:
    write_package(tmp_path, EMOJI)
    assert run([f"--source={tmp_path}", "--sets=google", f"--output={tmp_path / 'out'}"]) == 0
    assert "Flags: 4\nPeople: 7\n" in (printed := capsys.readouterr().out)
    assert f"{tmp_path / 'out'}: 11 images of 2 classes\nleft out, equal to an earlier file: 1\n" in printed
    people = ("1f9d1", "1f9d1-dark", "1f469", "1f469-dark", "a0", "a1", "a2")
    assert read_links(tmp_path / "out") == {
        "Flags": {f"google__f{number}.png" for number in (0, 1, 2, 4)},
        "People": {f"google__{name}.png" for name in people},
    }


def test_a_subject_is_held_out_with_all_its_images(tmp_path: Path) -> None:
    def lay_out(name: str, *options: str) -> dict[str, set[str]]:
        assert run([f"--source={tmp_path}", f"--output={tmp_path / name}", *options]) == 0
        return read_links(tmp_path / name)

    for image_set in ("google", "twitter"):
        write_package(tmp_path, EMOJI, image_set)
    both = lay_out("both", "--held_out_fraction=0.75")
    # Of the subjects of each class, "1F9D1" and "F1" have the highest digests. "F3" is joined with "F1".
    person = ("1f9d1", "1f9d1-dark", "1f469", "1f469-dark")
    assert both["train/People"] == {f"{name}__{image}.png" for name in ("google", "twitter") for image in person}
    assert both["train/Flags"] == {"google__f1.png", "twitter__f1.png", "twitter__f3.png"}
    assert sum(map(len, both.values())) == 23
    google = lay_out("google", "--held_out_fraction=0.75", "--sets=google")
    assert google == {part: {link for link in links if "google" in link} for part, links in both.items()}


def test_equal_files_of_two_classes_are_used_once(tmp_path: Path, capsys) -> None:
    for image_set in ("google", "twitter"):
        write_package(tmp_path, EMOJI, image_set)
    get_path("google", "a0.png", tmp_path).write_bytes(b"equal")
    get_path("twitter", "f0.png", tmp_path).write_bytes(b"equal")
    assert run([f"--source={tmp_path}", f"--output={tmp_path / 'out'}"]) == 0
    assert "Flags: 8\nPeople: 14\n" in (printed := capsys.readouterr().out)
    assert printed.endswith("left out, equal to an earlier file: 2\n")
    assert "twitter__f0.png" not in read_links(tmp_path / "out")["Flags"]


@pytest.mark.parametrize(
    "replace",
    [lambda path: None, lambda path: path.symlink_to(path.name), Path.mkdir],
    ids=["absent", "loop of links", "directory"],
)
def test_an_image_that_cannot_be_read_is_named(replace: Callable[[Path], None], tmp_path: Path, capsys) -> None:
    write_package(tmp_path, EMOJI)
    path = get_path("google", "f0.png", tmp_path)
    path.unlink()
    replace(path)
    assert run([f"--source={tmp_path}", "--sets=google", f"--output={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert "source: " in error and str(path) in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_list_that_is_not_utf_8_has_one_diagnosis(tmp_path: Path, capsys) -> None:
    write_package(tmp_path, EMOJI)
    (path := tmp_path / "emoji-datasource-google" / "emoji.json").write_bytes(b"\xff")
    assert run([f"--source={tmp_path}", "--sets=google", f"--output={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert f"source: {path}" in error and "UTF-8" in error and "UserError" not in error
    assert error.count(str(path)) == 1


@pytest.mark.parametrize(
    ("emoji", "options", "named"),
    [
        (EMOJI, ["--sets=google,twitter"], "emoji-datasource-twitter"),
        (EMOJI, ["--sets=Google"], "'Google'"),
        (EMOJI, ["--sets=google,google"], "google,google"),
        (EMOJI, ["--sets="], "--sets"),
        (EMOJI, ["--held_out_fraction=1"], "held_out_fraction"),
        (EMOJI[:4], ["--held_out_fraction=0.9"], "People (images: 5, subjects: 4)"),
        ([FLAGS[0] | {"image": "../f0.png"}], [], "'../f0.png'"),
        ([FLAGS[0] | {"image": ""}], [], "''"),
        ([FLAGS[0] | {"category": ".."}], [], "'..'"),
        ([FLAGS[0] | {"category": "\ud800"}], [], "ud800"),
        ([FLAGS[0] | {"unified": None}], [], "emoji.json"),
        ([{"image": "f0.png"}], [], "emoji.json"),
        ({"face": 1}, [], "emoji.json"),
        ([1], [], "emoji.json"),
        (1, [], "emoji.json"),
        ("[" * 100_000, [], "emoji.json"),
        ([], [], "source"),
    ],
)
def test_errors_leave_nothing_behind(emoji: object, options: list[str], named: str, tmp_path: Path, capsys) -> None:
    write_package(tmp_path, emoji)
    assert run([f"--source={tmp_path}", "--sets=google", f"--output={tmp_path / 'out'}", *options]) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["emoji-datasource-google"]
