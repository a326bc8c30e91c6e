"""The command line of `tools/lower_training.py`: actions, their flags, and help."""

from __future__ import annotations

import pathlib
import re

import pytest

from tools import lower_training


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["write", "{new}", "--steps_per_cal=3"], "--steps_per_call"),
        (["write", "{new}", "--flagfile={flagfile}"], "steps_per_call: .*0"),
        (["collect", "{new}", "--run_dri=a"], "--run_dir"),
    ],
)
def test_flags_of_the_tool_are_known_everywhere(arguments, suggestion, tmp_path: pathlib.Path, capsys) -> None:
    """Errors suggest them, and a flagfile may have them."""
    (tmp_path / "a.cfg").write_text("--steps_per_call=0\n--seed=3\n")
    given = [argument.format(new=tmp_path / "new", flagfile=tmp_path / "a.cfg") for argument in arguments]
    assert lower_training.run(given) == 2
    assert re.search(suggestion, capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("directory", [[], ["DIR"]])
@pytest.mark.parametrize(
    ("action", "flags"),
    [("write", ["run_dir", "seed", "steps_per_call"]), ("updates", ["run_dir", "seed"]), ("collect", ["run_dir"])],
)
def test_help_shows_the_flags_of_the_action(action: str, flags: list[str], directory: list[str], capsys) -> None:
    assert lower_training.run([action, *directory, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"lower_training.py {action} DIR " in printed
    assert [flag for flag in ("run_dir", "seed", "steps_per_call") if f"\n  --{flag}=" in printed] == flags


def test_help_shows_the_actions(capsys) -> None:
    assert lower_training.run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in lower_training.ACTIONS)
