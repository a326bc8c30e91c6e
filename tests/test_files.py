import pathlib

import pytest

from sagan_tf.files import append_line, replace_atomically, write_atomically


@pytest.mark.parametrize("content", ["two ü", b"two \xff"])
def test_atomic_writing_leaves_nothing_else(tmp_path: pathlib.Path, content: str | bytes):
    write_atomically(tmp_path / "file", "one")
    write_atomically(tmp_path / "file", content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == (content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("shared", [False, True])
def test_a_failed_replacement_keeps_the_old_file(tmp_path: pathlib.Path, shared: bool):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replace_atomically(path, shared=shared) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise OSError("full")
    assert [one.name for one in tmp_path.iterdir()] == ["file"] and path.read_text() == "old"


def test_a_line_after_half_a_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lines"
    append_line(path, "one")
    with path.open("a") as file:
        file.write("ha")
    append_line(path, "two")
    assert path.read_text() == "one\nha\ntwo\n"
