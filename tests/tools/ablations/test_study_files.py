"""Tests of the file of a study: its comment, and the pairs of settings that it compares."""

from __future__ import annotations

import pathlib

import pytest

from sagan_tf.errors import UserError
from tools.ablations.studies import STUDIES, Study, find_study

COMMENT = "# Two widths.\n#\n# Source: a paper, with\n#     two lines.\n# Published: nothing\n#\n# else\n"
SETTINGS = "plain\nwide --base_channels=32\ndeep --base_channels=8\n"


def read_study(directory: pathlib.Path, text: str) -> Study:
    (directory / "study.txt").write_text(text)
    return find_study(str(directory / "study.txt"))


def select(study: Study, *names: str) -> Study:
    settings = tuple(setting for setting in study.settings if setting.name in names)
    return Study(study.name, study.description, settings, study.named_pairs)


def test_without_named_pairs_every_setting_is_compared_with_the_first(tmp_path: pathlib.Path):
    study = read_study(tmp_path, SETTINGS)
    assert study.pairs == (("plain", "wide"), ("plain", "deep"))
    assert select(study, "wide", "deep").pairs == (("wide", "deep"),) and study.title == "study"


def test_named_pairs_whose_settings_are_left_out_are_skipped(tmp_path: pathlib.Path):
    study = read_study(tmp_path, f"{SETTINGS}\n# the pairs\n@compare wide deep\n@compare  plain  wide\n")
    assert study.pairs == (("wide", "deep"), ("plain", "wide"))
    assert select(study, "plain", "wide").pairs == (("plain", "wide"),) and select(study, "plain", "deep").pairs == ()


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("@compare plain odd", "line 4: .*'odd'"),
        ("@compare plain", "line 4"),
        ("@compare plain plain", "line 4"),
        ("@compare plain wide deep", "line 4"),
        ("@contrast plain wide", "line 4: .*@contrast"),
        ("@compare plain wide\nlate", "line 5: .*'late'"),
        ("@compare plain wide\n@compare wide plain", "line 5"),
    ],
)
def test_wrong_pairs_are_refused(lines: str, named: str, tmp_path: pathlib.Path):
    with pytest.raises(UserError, match=named):
        read_study(tmp_path, SETTINGS + lines)


def test_the_comment_is_a_title_and_paragraphs(tmp_path: pathlib.Path):
    study = read_study(tmp_path, COMMENT + SETTINGS)
    assert study.title == "Two widths"
    assert study.introduction.split("\n\n") == ["Source: a paper, with two lines.", "Published: nothing", "else"]


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.txt")), ids=lambda path: path.stem)
def test_packaged_studies_name_their_pairs(path: pathlib.Path):
    study = find_study(path.stem)
    assert study.named_pairs and {name for pair in study.named_pairs for name in pair} == {
        s.name for s in study.settings
    }
