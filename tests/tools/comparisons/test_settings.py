import pathlib

import pytest

from sagan_tf.errors import UserError
from tools.comparisons.settings import SETTINGS_FILE, Setting, find_base, find_settings, parse_settings
from tools.repository import ROOT


def test_settings_in_a_file(tmp_path: pathlib.Path):
    path = tmp_path / "settings.txt"
    path.write_text("# a comment\n\nplain\nwide  --base_channels=32 --data_dir='a b'\n")
    assert find_settings(str(path)) == [Setting("plain", ()), Setting("wide", ("--base_channels=32", "--data_dir=a b"))]


def test_shared_flags_precede_those_of_the_settings_after_them(tmp_path: pathlib.Path):
    path = tmp_path / "settings.txt"
    path.write_text("a\n* --x=1 --y=2\nb --x=3\nc\n* --z=4\nd\n*\ne --x=5\n")
    flags = {setting.name: " ".join(setting.flags) for setting in find_settings(str(path))}
    assert flags == {"a": "", "b": "--x=1 --y=2 --x=3", "c": "--x=1 --y=2", "d": "--z=4", "e": "--x=5"}


def test_a_base_in_the_repository_has_a_relative_path(tmp_path: pathlib.Path, monkeypatch):
    name = "configs/quickstart.cfg"
    assert find_base(name) == find_base(str(ROOT / name)) == name
    (tmp_path / "own.cfg").touch()
    monkeypatch.chdir(tmp_path)
    assert find_base("own.cfg") == str(tmp_path / "own.cfg")


QUICKSTART = f"--flagfile={ROOT / 'configs' / 'quickstart.cfg'}"


def test_packaged_settings_are_found_by_name():
    settings = find_settings("")
    configs = parse_settings(settings, [QUICKSTART])
    assert [config.training.discriminator_steps_per_step for config in configs[:2]] == [2, 1]
    assert find_settings("quickstart") == [Setting("quickstart", ())] and SETTINGS_FILE.is_file()
    last = settings[-1]
    assert find_settings(f"{last.name},quickstart,{last.name}") == [last, Setting("quickstart", ())]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*_settings.txt")), ids=lambda path: path.stem)
def test_every_settings_file_passes_the_checks(path: pathlib.Path):
    base = path.with_name(path.stem.removesuffix("_settings") + ".cfg")
    base = base if base.exists() else path.with_name("quickstart.cfg")
    settings = find_settings(str(path))
    assert len(parse_settings(settings, [f"--flagfile={base}"])) == len(settings) > 1


@pytest.mark.parametrize(
    ("content", "named"),
    [("", "settings"), ("* --x=1", "settings"), ("a\na", "line 2"), ("../a", "'../a'"), ("a 'b", "line 1")],
)
def test_an_invalid_file_is_refused(content: str, named: str, tmp_path: pathlib.Path):
    (tmp_path / "settings.txt").write_text(content)
    with pytest.raises(UserError, match=named):
        find_settings(str(tmp_path / "settings.txt"))


def test_pairs_of_a_study_are_refused(tmp_path: pathlib.Path):
    (tmp_path / "study.txt").write_text("a\nb\n@compare a b")
    with pytest.raises(UserError, match="line 3: @compare"):
        find_settings(str(tmp_path / "study.txt"))


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="'absent'"):
        find_settings("quickstart,absent")


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--no_such_flag=1", "--no_such_flag"),
        ("--loss=absent", "loss"),  # refused by check_config
        ("--ema_ramp_up=0.1", "--ema_half_life_images"),  # refused by check_flags
        ("--metrics=recall", "'recall'"),  # refused by find_metrics
        ("--metrics=fid10k", "fid10k"),  # refused by check_names
    ],
)
def test_settings_that_training_or_evaluation_refuses(flag: str, named: str):
    with pytest.raises(UserError, match=f"setting odd: .*{named}"):
        parse_settings([Setting("plain", ()), Setting("odd", (flag,))], [QUICKSTART])
