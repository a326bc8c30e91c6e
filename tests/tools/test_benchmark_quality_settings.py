import pathlib

import pytest

from sagan_tf.errors import UserError
from tools.benchmarks.quality_settings import SETTINGS_FILE, Setting, check_settings, find_settings
from tools.benchmarks.workers import ROOT


def test_settings_of_a_file(tmp_path: pathlib.Path):
    path = tmp_path / "settings.txt"
    path.write_text("# a comment\n\nplain\nwide  --base_channels=32 --data_dir='a b'\n")
    assert find_settings(str(path)) == [Setting("plain", ()), Setting("wide", ("--base_channels=32", "--data_dir=a b"))]


def test_the_settings_of_this_project_are_flags_of_training_and_are_found_by_name():
    settings = find_settings("")
    check_settings(settings, str(ROOT / "configs" / "quickstart.cfg"))
    assert find_settings("quickstart") == [Setting("quickstart", ())] and SETTINGS_FILE.is_file()
    last = settings[-1]
    assert find_settings(f"{last.name},quickstart,{last.name}") == [last, Setting("quickstart", ())]


@pytest.mark.parametrize(
    "content, named", [("", "settings"), ("a\na", "line 2"), ("../a", "'../a'"), ("a 'b", "line 1")]
)
def test_a_file_that_is_wrong(content: str, named: str, tmp_path: pathlib.Path):
    (tmp_path / "settings.txt").write_text(content)
    with pytest.raises(UserError, match=named):
        find_settings(str(tmp_path / "settings.txt"))


def test_a_name_and_a_flag_that_are_unknown():
    with pytest.raises(UserError, match="'absent'"):
        find_settings("quickstart,absent")
    with pytest.raises(UserError, match=r"setting odd: .*--no_such_flag"):
        check_settings([Setting("odd", ("--no_such_flag=1",))], str(ROOT / "configs" / "quickstart.cfg"))
