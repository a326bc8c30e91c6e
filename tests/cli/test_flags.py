"""Flags say what the dataclasses say; a mistake is one line; a run's flagfile replays it."""

import dataclasses
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagan_tf.cli.flags import FlagError, Flags, config_to_flagfile, parse_config, run_door
from sagan_tf.config import PARTS, Config, DataConfig, ModelConfig, TrainingConfig, option_fields, option_values
from sagan_tf.config.option import option
from sagan_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """What to draw."""

    mode: str = option("grid", "Kind of picture.", choices=("grid", "classes"))
    rows: int = option(8, "Rows of the grid.")
    modes: tuple[str, ...] = option(("fid50k",), "Modes.")


def door(*argv: str) -> int:
    return run_door("sagan_tf.sample", "Draws samples.", lambda options: None, SampleOptions, argv=argv)


# Parsing.


def test_no_flag_gives_the_defaults() -> None:
    assert parse_config([]) == Config()


def test_flags_reach_their_parts() -> None:
    config = parse_config(
        ["--resolution=64", "--dataset", "cifar10", "--nojit_compile", "--random_flip", "--num_steps=3"]
    )
    assert config == Config(
        ModelConfig(resolution=64), DataConfig(dataset="cifar10", random_flip=True), TrainingConfig(num_steps=3)
    )


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--random_flip", True),
        ("--norandom_flip", False),
        ("--random_flip=true", True),
        ("--random_flip=false", False),
    ],
)
def test_spellings_of_a_boolean(argument: str, value: bool) -> None:
    assert parse_config(["--random_flip", argument]).data.random_flip is value


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--attention_resolutions=32,64", (32, 64)),
        ("--attention_resolutions=", ()),
    ],
)
def test_a_tuple(argument: str, value: tuple[int, ...]) -> None:
    assert parse_config([argument]).model.attention_resolutions == value


def test_an_optional_tuple_tells_unset_from_empty() -> None:
    assert parse_config([]).model.generator_attention_resolutions is None
    assert parse_config(["--generator_attention_resolutions="]).model.generator_attention == ()
    given_and_unset = ["--generator_attention_resolutions=8", "--generator_attention_resolutions=unset"]
    assert parse_config(given_and_unset).model.generator_attention_resolutions is None


def test_the_last_one_wins() -> None:
    assert parse_config(["--seed=1", "--seed=2"]).training.seed == 2


def test_several_kinds_and_no_state_between_two_parsings() -> None:
    flags = Flags(SampleOptions, Config)
    options, config = flags.parse(["--rows=2", "--seed=5"])
    assert (options, config.training.seed) == (SampleOptions(rows=2), 5)
    assert flags.parse([]) == (SampleOptions(), Config())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--resolutoin=64"], "unknown flag --resolutoin; did you mean --resolution?"),
        (["--norandom_flp"], "unknown flag --norandom_flp; did you mean --norandom_flip?"),
        (["--helpfull"], "unknown flag --helpfull; did you mean --help?"),
        (["--qqq=1"], "unknown flag --qqq"),
        (["--noresolution"], "unknown flag --noresolution; did you mean --resolution?"),
        (["--resolution=big"], "--resolution=big: expected a whole number"),
        (["--adam_beta1=nan"], "--adam_beta1=nan: expected a number"),
        (["--precision=half"], "--precision=half: expected one of float32, mixed_bfloat16, mixed_float16"),
        (["--random_flip=maybe"], "--random_flip=maybe: expected true or false"),
        (["--norandom_flip=1"], "--norandom_flip=1 does not take an argument"),
        (["--attention_resolutions=32,x"], "--attention_resolutions=32,x: expected a comma list, each a whole number"),
        (["--seed"], "Missing value for flag --seed"),
        (["--random_flip", "False"], "expected --name=value, received 'False'"),
        (["train", "--seed=1"], "expected --name=value, received 'train'"),
        (["--num_steps=0"], "num_steps: expected a number above 0, received 0"),
        (["--flagfile"], "--flagfile: expected a file, received none"),
    ],
)
def test_a_mistake_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse_config(argv)
    assert str(caught.value) == message


# Flagfiles.


def test_a_flagfile_stands_where_it_is_named(tmp_path: pathlib.Path) -> None:
    flagfile = tmp_path / "a.cfg"
    flagfile.write_text("# A record.\n\n--seed=1\n// another comment\n  --num_steps=5  \n")
    named = f"--flagfile={flagfile}"
    assert parse_config([named, "--seed=2"]).training == TrainingConfig(seed=2, num_steps=5)
    assert parse_config(["--seed=2", named]).training == TrainingConfig(seed=1, num_steps=5)
    assert parse_config(["--flagfile", str(flagfile)]).training == TrainingConfig(seed=1, num_steps=5)


def test_a_flagfile_in_a_flagfile_is_relative_to_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "base.cfg").write_text("--seed=3\n--num_steps=7\n")
    (tmp_path / "studies" / "one.cfg").write_text("--flagfile=../base.cfg\n--seed=4\n")
    config = parse_config([f"--flagfile={tmp_path / 'studies' / 'one.cfg'}"])
    assert config.training == TrainingConfig(seed=4, num_steps=7)


def test_flagfiles_may_begin_with_a_byte_order_mark(tmp_path: pathlib.Path) -> None:
    (tmp_path / "outer.cfg").write_text("--flagfile=inner.cfg\n--seed=3\n", encoding="utf-8-sig")
    (tmp_path / "inner.cfg").write_text("--num_steps=7\n", encoding="utf-8-sig")
    assert parse_config([f"--flagfile={tmp_path / 'outer.cfg'}"]).training == TrainingConfig(seed=3, num_steps=7)
    (tmp_path / "inner.cfg").write_text("--num_steps=7\n", encoding="utf-16")
    with pytest.raises(UserError, match=r"--flagfile=.*inner\.cfg.*UTF-16"):
        parse_config([f"--flagfile={tmp_path / 'outer.cfg'}"])


def test_a_flagfile_may_be_read_twice_but_not_within_itself(tmp_path: pathlib.Path) -> None:
    plain, loop = tmp_path / "plain.cfg", tmp_path / "loop.cfg"
    plain.write_text("--seed=3\n")
    loop.write_text("--flagfile=loop.cfg\n")
    assert parse_config([f"--flagfile={plain}", f"--flagfile={plain}"]).training.seed == 3
    with pytest.raises(UserError, match="the file includes itself"):
        parse_config([f"--flagfile={loop}"])


def test_flagfile_mistakes_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.cfg: cannot be read: No such file or directory$"):
        parse_config([f"--flagfile={tmp_path / 'nowhere.cfg'}"])
    with pytest.raises(UserError, match="cannot be read: Is a directory$"):
        parse_config([f"--flagfile={tmp_path}"])
    binary = tmp_path / "binary.cfg"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="--flagfile=.*UTF-8"):
        parse_config([f"--flagfile={binary}"])
    bare = tmp_path / "bare.cfg"
    bare.write_text("--seed=1\nresolution=64\n")
    with pytest.raises(FlagError, match=r"bare\.cfg, line 2: expected --name=value .* received 'resolution=64'$"):
        parse_config([f"--flagfile={bare}"])


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Values that the checks of `config` let through, for the option `name`."""
    field = option_fields()[name][1]
    if field.metadata["choices"]:
        return st.sampled_from(field.metadata["choices"])
    if name == "discriminator_downsample":
        return st.lists(st.booleans(), max_size=4).map(tuple)
    if name.endswith(("attention_resolutions", "_widths")):
        tuples = st.lists(st.integers(1, 512), max_size=4).map(tuple)
        return tuples if field.default is not None else st.none() | tuples
    if name == "profile_steps":
        pairs = st.tuples(st.integers(0, 1000), st.integers(1, 1000)).map(lambda pair: (pair[0], sum(pair)))
        return st.just(()) | pairs
    if name in ("metrics", "augment"):
        return st.lists(st.text(st.sampled_from("fidk05_"), min_size=1), max_size=3).map(tuple)
    if field.default is None:
        return st.none() | st.integers(0, 2**31 - 1)
    if isinstance(field.default, bool):
        return st.booleans()
    if isinstance(field.default, int):
        return st.integers(2, 2**31 - 1)  # a group of one image has no statistics
    if isinstance(field.default, float):
        return st.floats(0, 1, exclude_min=True, exclude_max=True)
    return st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    values: dict[str, dict[str, Any]] = {name: {} for name in PARTS}
    for name, (part, _) in option_fields().items():
        values[part][name] = draw(values_of(name))
    return Config(**{name: part(**values[name]) for name, part in PARTS.items()})


@given(config=configs())
def test_a_written_config_is_read_back_equal(config: Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    flagfile = tmp_path_factory.mktemp("run") / "flags.cfg"
    flagfile.write_text(config_to_flagfile(config), encoding="utf-8")
    assert parse_config([f"--flagfile={flagfile}"]) == config


def test_a_flagfile_holds_every_flag_of_ours_and_no_other() -> None:
    lines = [line for line in config_to_flagfile(Config()).splitlines() if not line.startswith("#")]
    assert [line.partition("=")[0] for line in lines] == [f"--{name}" for name in option_values(Config())]


# Doors.


def test_help_shows_every_flag_with_its_default_values_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_door("sagan_tf.train", "Trains.", lambda config: None, Config, argv=["--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("usage: python -m sagan_tf.train ")
    shown = " ".join(captured.out.split())
    for part in ("Model: The generator and the discriminator.", "Data: The training images.", "Training: "):
        assert part in shown
    for name, (_, field) in option_fields().items():
        assert f"--{name}=" in shown or f"--[no]{name} " in shown
        assert " ".join(field.metadata["help"].split()) in shown
    assert "--precision=float32|mixed_bfloat16|mixed_float16 (default: float32)" in shown
    assert "--attention_resolutions=INTEGER,... (default: 64)" in shown
    assert "--generator_attention_resolutions=INTEGER,... (default: unset)" in shown
    assert "--[no]random_flip (default: false)" in shown


def test_a_door_hands_its_options_to_main() -> None:
    received = []
    status = run_door("sagan_tf.sample", None, received.append, SampleOptions, argv=["--rows=3", "--modes=a,b"])
    assert (status, received) == (0, [SampleOptions(rows=3, modes=("a", "b"))])


def test_a_bad_flag_is_a_usage_line_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert door("--mode=map") == 2
    captured = capsys.readouterr()
    usage, error = captured.err.splitlines()
    assert usage.startswith("usage: python -m sagan_tf.sample ")
    assert error == "sagan_tf.sample: error: --mode=map: expected one of grid, classes"
    assert captured.out == ""


def test_a_missing_flagfile_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert door("--flagfile=/nowhere.cfg") == 2
    assert capsys.readouterr().err == (
        "sagan_tf.sample: error: --flagfile=/nowhere.cfg: cannot be read: No such file or directory\n"
    )


def test_a_users_mistake_in_main_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main(options: SampleOptions) -> None:
        raise UserError("run_dir: expected a run,\nreceived nothing")

    assert run_door("sagan_tf.sample", None, main, SampleOptions, argv=[]) == 2
    assert capsys.readouterr().err == "sagan_tf.sample: error: run_dir: expected a run, received nothing\n"


def test_an_interrupt_is_130_and_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(options: SampleOptions) -> None:
        raise KeyboardInterrupt

    def broken(options: SampleOptions) -> None:
        raise ValueError("a bug")

    assert run_door("sagan_tf.sample", None, interrupted, SampleOptions, argv=[]) == 130
    assert capsys.readouterr().err == "sagan_tf.sample: interrupted\n"
    with pytest.raises(ValueError, match="a bug"):
        run_door("sagan_tf.sample", None, broken, SampleOptions, argv=[])


def test_help_does_not_load_tensorflow() -> None:
    program = (
        "import sys, sagan_tf\n"
        "from sagan_tf import config\nfrom sagan_tf.cli import flags\n"
        "status = flags.run_door('sagan_tf.train', None, print, config.Config, argv=['--help'])\n"
        "sys.exit(status or 'tensorflow' in sys.modules or 'numpy' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True)
