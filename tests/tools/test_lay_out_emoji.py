"""`tools/lay_out_emoji.py` on small packages of emoji."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.lay_out_emoji import run

EMOJI: list[dict[str, Any]] = [
    {"unified": f"{name}{number}", "image": f"{name}{number}.png", "category": category, "has_img_google": True}
    for name, category in (("face", "Smileys"), ("flag", "Flags"))
    for number in range(4)
] + [{"unified": "tone", "image": "tone.png", "category": "Component", "has_img_google": True}]
EMOJI[0]["skin_variations"] = {
    "dark": {"image": "face0-dark.png", "has_img_google": True},
    "light": {"image": "face0-light.png", "has_img_google": False},
}


def write_package(node_modules: Path, emoji: object, image_set: str = "google") -> None:
    """Write a package as npm installs it, with empty files for images."""
    package = node_modules / f"emoji-datasource-{image_set}"
    images = package / "img" / image_set / "64"
    images.mkdir(parents=True)
    text = json.dumps(emoji).replace("has_img_google", f"has_img_{image_set}")
    (package / "emoji.json").write_text(text)
    for name in [entry["image"] for entry in EMOJI] + ["face0-dark.png", "face0-light.png"]:
        (images / name).touch()


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
    assert "Flags: 4\nSmileys: 5\n" in (printed := capsys.readouterr().out)
    assert f"{tmp_path / 'out'}: 9 images of 2 classes" in printed
    assert read_links(tmp_path / "out") == {
        "Flags": {f"google__flag{number}.png" for number in range(4)},
        "Smileys": {f"google__face{number}.png" for number in range(4)} | {"google__face0-dark.png"},
    }


def test_an_emoji_is_held_out_with_its_skin_tones_and_in_all_sets(tmp_path: Path) -> None:
    write_package(tmp_path, EMOJI)
    write_package(tmp_path, EMOJI, "twitter")
    for fraction in (0.5, 0.75):
        output = tmp_path / f"{fraction}"
        assert run([f"--source={tmp_path}", f"--held_out_fraction={fraction}", f"--output={output}"]) == 0
        links = read_links(output)
        emoji = {
            directory: {name.split("__")[1].split(".")[0].split("-")[0] for name in names}
            for directory, names in links.items()
        }
        assert len(emoji["held_out/Flags"]) == len(emoji["held_out/Smileys"]) == 4 * fraction
        assert not emoji["train/Smileys"] & emoji["held_out/Smileys"]
        assert sum(map(len, links.values())) == 18
        for names in links.values():
            assert {name.replace("google", "twitter") for name in names if "google" in name} == {
                name for name in names if "twitter" in name
            }


@pytest.mark.parametrize(
    ("emoji", "options", "named"),
    [
        (EMOJI, ["--sets=google,apple"], "npm install emoji-datasource-apple"),
        (EMOJI, ["--sets="], "sets: missing"),
        (EMOJI, ["--held_out_fraction=1"], "held_out_fraction: expected at least 0 and below 1, received 1"),
        (EMOJI, ["--held_out_fraction=0.9"], "held_out_fraction: 0.9 leaves no training images of Flags (4 in all)"),
        ([*EMOJI[:1], EMOJI[1] | {"image": "absent.png"}], [], "absent.png does not exist"),
        ([*EMOJI[:1], EMOJI[1] | {"image": "../face1.png"}], [], "'../face1.png' is not the name of a file"),
        ([EMOJI[0] | {"category": ".."}], [], "'..' is not the name of a file"),
        ([{"image": "face0.png"}], [], "is not a list of emoji as in version 16 of emoji-datasource-google"),
        ({"face": 1}, [], "is not a list of emoji"),
        ([1], [], "is not a list of emoji"),
        ([], [], "has no emoji"),
    ],
)
def test_errors_leave_nothing_behind(emoji: object, options: list[str], named: str, tmp_path: Path, capsys) -> None:
    write_package(tmp_path, emoji)
    assert run([f"--source={tmp_path}", "--sets=google", f"--output={tmp_path / 'out'}", *options]) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["emoji-datasource-google"]
