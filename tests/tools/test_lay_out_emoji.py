"""`tools/lay_out_emoji.py` on small packages of emoji."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.lay_out_emoji import find_subject, run


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


def write_package(node_modules: Path, emoji: object, image_set: str = "google") -> None:
    """Write a package as npm installs it, with files of different content except SAME_CONTENT."""
    package = node_modules / f"emoji-datasource-{image_set}"
    images = package / "img" / image_set / "64"
    images.mkdir(parents=True)
    text = emoji if isinstance(emoji, str) else json.dumps(emoji)
    (package / "emoji.json").write_text(text.replace("SET", image_set))
    for entry in EMOJI:
        for image in (entry, *entry.get("skin_variations", {}).values()):
            name = image["image"]
            content = SAME_CONTENT[1] if name in SAME_CONTENT else name
            (images / name).write_text(f"{content} {image_set}")


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
    assert f"{tmp_path / 'out'}: 11 images of 2 classes" in printed
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
    # Of the subjects of each class, "1F9D1" and "F1" have the highest digests.
    person = ("1f9d1", "1f9d1-dark", "1f469", "1f469-dark")
    assert both["train/People"] == {f"{name}__{image}.png" for name in ("google", "twitter") for image in person}
    assert both["train/Flags"] == {"google__f1.png", "twitter__f1.png"}
    assert sum(map(len, both.values())) == 22
    google = lay_out("google", "--held_out_fraction=0.75", "--sets=google")
    assert google == {part: {link for link in links if "google" in link} for part, links in both.items()}


@pytest.mark.parametrize(
    ("codes", "subject"),
    [
        ("1F3C3-200D-2640-FE0F-200D-27A1-FE0F", "1F3C3"),
        ("1F469-200D-1F692", "1F9D1-1F692"),
        ("1F468-200D-2764-FE0F-200D-1F468", "1F9D1-2764-1F9D1"),
        ("1F474", "1F9D1"),
        ("1F1E8-1F1E6", "1F1E8-1F1E6"),
    ],
)
def test_subjects_have_no_gender_age_group_and_direction(codes: str, subject: str) -> None:
    assert find_subject(codes) == subject


@pytest.mark.parametrize(
    ("emoji", "options", "named"),
    [
        (EMOJI, ["--sets=google,twitter"], "emoji-datasource-twitter"),
        (EMOJI, ["--sets=Google"], "'Google'"),
        (EMOJI, ["--sets=google,google"], "google,google"),
        (EMOJI, ["--sets="], "--sets"),
        (EMOJI, ["--held_out_fraction=1"], "held_out_fraction"),
        (EMOJI, ["--held_out_fraction=0.9"], "Flags"),
        ([FLAGS[0] | {"image": "absent.png"}], [], "absent.png"),
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
