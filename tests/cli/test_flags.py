"""Tests of flags: parsing, error messages and flagfiles that replay a run."""

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagan_tf.cli.flags import FlagError, Flags, parse_config
from sagan_tf.config import OPTION_GROUPS, Config, DataConfig, ModelConfig, TrainingConfig, get_option_fields
from sagan_tf.config.option import option
from sagan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """Options of a command."""

    mode: str = option("grid", "Kind of image.", choices=("grid", "classes"))
    rows: int = option(8, "Rows of the grid.")


def test_flags_set_fields_of_all_groups():
    flags = "--resolution=64 --dataset cifar10 --nojit_compile --random_flip --num_steps=9 --num_steps=3"
    assert parse_config(flags.split()) == Config(
        ModelConfig(resolution=64), DataConfig(dataset="cifar10", random_flip=True), TrainingConfig(num_steps=3)
    )


def test_boolean_flags():
    for argument in ("--random_flip", "--random_flip=true"):
        assert parse_config(["--norandom_flip", argument]).data.random_flip is True
    for argument in ("--norandom_flip", "--random_flip=false"):
        assert parse_config(["--random_flip", argument]).data.random_flip is False


def test_optional_comma_list_distinguishes_unset_from_empty():
    assert parse_config(["--attention_resolutions=32,64"]).model.attention_resolutions == (32, 64)
    assert parse_config([]).model.generator_attention_resolutions is None
    assert parse_config(["--generator_attention_resolutions="]).model.generator_attention == ()
    given_and_unset = ["--generator_attention_resolutions=8", "--generator_attention_resolutions=unset"]
    assert parse_config(given_and_unset).model.generator_attention_resolutions is None


def test_several_dataclasses_and_repeated_parsing():
    flags = Flags(SampleOptions, Config)
    options, config = flags.parse(["--rows=2", "--seed=5"])
    assert (options, config.training.seed) == (SampleOptions(rows=2), 5)
    assert flags.parse([]) == (SampleOptions(), Config())


def test_the_flagfile_of_every_option_that_is_set(tmp_path) -> None:
    flagfile = tmp_path / "a.cfg"
    flagfile.write_text("--seed=1\n--norandom_flip\n--num_steps=5\n")
    flags = Flags(SampleOptions, Config)
    flags.parse(["--dataset", "folder", f"--flagfile={flagfile}", "-num_steps=3", "--rows", "2"])
    assert flags.flagfiles == {
        "dataset": None,
        "seed": flagfile,
        "random_flip": flagfile,
        "num_steps": None,
        "rows": None,
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--resolutoin=64"], "--resolutoin; did you mean --resolution?"),
        (["--qqq=1"], "--qqq"),
        (["--noresolution"], "--noresolution; did you mean --resolution?"),
        (["--resolution=big"], "--resolution=big: "),
        (["--norandom_flip=1"], "--norandom_flip=1 "),
        (["--seed"], "--seed"),
        (["--random_flip", "False"], "received 'False'"),
        (["train", "--seed=1"], "received 'train'"),
        (["--num_steps=0"], "num_steps: "),
        (["--flagfile"], "--flagfile"),
    ],
)
def test_errors_name_the_flag_and_the_value(argv, message):
    with pytest.raises(FlagError, match=re.escape(message)):
        parse_config(argv)


def test_flagfile_is_expanded_in_place(tmp_path):
    flagfile = tmp_path / "a.cfg"
    flagfile.write_text("# A record.\n\n--seed=1\n// another comment\n  --num_steps=5  \n")
    named = f"--flagfile={flagfile}"
    assert parse_config([named, "--seed=2"]).training == TrainingConfig(seed=2, num_steps=5)
    assert parse_config(["--seed=2", named]).training == TrainingConfig(seed=1, num_steps=5)
    assert parse_config(["--flagfile", str(flagfile)]).training == TrainingConfig(seed=1, num_steps=5)


def test_included_flagfile_is_relative_to_the_including_file(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "base.cfg").write_text("--seed=3\n--num_steps=7\n")
    (tmp_path / "studies" / "one.cfg").write_text("--flagfile=../base.cfg\n--seed=4\n")
    config = parse_config([f"--flagfile={tmp_path / 'studies' / 'one.cfg'}"])
    assert config.training == TrainingConfig(seed=4, num_steps=7)


def test_flagfiles_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "outer.cfg").write_text("--flagfile=inner.cfg\n--seed=3\n", encoding="utf-8-sig")
    (tmp_path / "inner.cfg").write_text("--num_steps=7\n", encoding="utf-8-sig")
    assert parse_config([f"--flagfile={tmp_path / 'outer.cfg'}"]).training == TrainingConfig(seed=3, num_steps=7)
    (tmp_path / "inner.cfg").write_text("--num_steps=7\n", encoding="utf-16")
    with pytest.raises(UserError, match=r"--flagfile=.*inner\.cfg.*UTF-16"):
        parse_config([f"--flagfile={tmp_path / 'outer.cfg'}"])


def test_errors_name_the_flagfile_and_the_line(tmp_path):
    """tests/faults/test_untrusted_flagfiles.py tries files that cannot be read."""
    (tmp_path / "bare.cfg").write_text("--seed=1\nresolution=64\n")
    with pytest.raises(FlagError, match=r"bare\.cfg, line 2: .*'resolution=64'$"):
        parse_config([f"--flagfile={tmp_path / 'bare.cfg'}"])


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Return values that the checks of `config` accept for an option."""
    field = get_option_fields()[name][1]
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
    if name == "exclude_classes":
        return st.just(())  # is refused together with --classes
    if name in ("metrics", "augment", "class_map", "classes"):
        return st.lists(st.text(st.sampled_from("fidk05_"), min_size=1), max_size=3, unique=True).map(tuple)
    if field.default is None:
        return st.none() | st.integers(0, 2**31 - 1)
    if isinstance(field.default, bool):
        return st.booleans()
    if isinstance(field.default, int):
        return st.integers(2, 2**31 - 1)  # 1 is invalid for discriminator_minibatch_statistics.
    if isinstance(field.default, float):
        return st.floats(0, 1, exclude_min=True, exclude_max=True)
    return st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    values: dict[str, dict[str, Any]] = {name: {} for name in OPTION_GROUPS}
    for name, (part, _) in get_option_fields().items():
        values[part][name] = draw(values_of(name))
    return Config(**{name: part(**values[name]) for name, part in OPTION_GROUPS.items()})


@given(config=configs())
def test_written_config_is_read_back_unchanged(config, tmp_path_factory):
    flagfile = tmp_path_factory.mktemp("run") / "flags.cfg"
    flagfile.write_text(config.to_flagfile(), encoding="utf-8")
    assert parse_config([f"--flagfile={flagfile}"]) == config
