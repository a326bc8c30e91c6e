"""Paths with pattern characters are replaced by links; all other paths are unchanged."""

import pathlib
import tempfile

import pytest

from sagan_tf.errors import UserError
from sagan_tf.tensorflow_paths import check_readable_path, literal_path


@pytest.mark.parametrize("name", ["gs[1]", "a*b", "a?b", "a\\b", "cut]off["])
def test_pattern_becomes_a_link_to_exactly_its_files(name, tmp_path):
    for directory in ("gs1", "ab", "acb", name):
        (tmp_path / directory / "variables").mkdir(parents=True)
        for file in ("step-4.index", "step-4.data-00000-of-00001", "step-40.index"):
            (tmp_path / directory / file).write_text(f"{directory} {file}")
    with literal_path(tmp_path / name / "step-4") as path:
        assert not set(path) & set("[]*?\\")
        found = {file.name.split(".", 1)[1]: file.read_text() for file in pathlib.Path(path).parent.iterdir()}
        assert found == {ending: f"{name} step-4.{ending}" for ending in ("index", "data-00000-of-00001")}
    with literal_path(f"{tmp_path / name}/") as link:
        assert (pathlib.Path(link) / "step-4.index").read_text() == f"{name} step-4.index"
    assert not pathlib.Path(path).parent.exists() and not pathlib.Path(link).parent.exists()
    assert (tmp_path / name / "step-4.index").exists()


@pytest.mark.parametrize("path", ["plain/step-4", "with blank/ünï/{a,b}/step-4"])
def test_other_paths_are_unchanged(path):
    with literal_path(path) as literal:
        assert literal == path


@pytest.mark.parametrize("temporary", ["missing", "t[1]"])
def test_without_a_usable_temporary_directory(temporary, tmp_path, monkeypatch):
    (tmp_path / "t[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / temporary))
    with pytest.raises(UserError, match="TMPDIR"):
        check_readable_path(tmp_path / "gs[1]")
    check_readable_path(tmp_path / "gs1")
    assert not list((tmp_path / "t[1]").iterdir())
