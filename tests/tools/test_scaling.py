"""`tools/scaling.py` as users run it, and docs/scaling.md, which shows its output."""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.distribution.strategy import create_communication_options
from sagan_tf.training.state import TrainState
from tools import scaling
from tools.scaling_model import calculation, image_input
from tools.scaling_model.options import TABLE_NAMES, ScalingOptions
from tools.scaling_model.reductions import pack_gradients
from tools.scaling_model.step import Step, count_network_sizes

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "scaling.md"
EXAMPLE = r"```\n\$ python tools/scaling\.py ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)\n```"
EXAMPLES = re.findall(EXAMPLE, DOCUMENT.read_text(encoding="utf-8"), re.S)
# Small networks, which are counted quickly.
TINY = ["--dataset=cifar10", "--architecture=dcgan", "--resolution=32", "--attention_resolutions=", "--base_channels=2"]
TINY += ["--nogenerator_spectral_norm", "--nodiscriminator_spectral_norm"]


def run(*arguments: str) -> int:
    return scaling.run(arguments)


@pytest.fixture(scope="module", autouse=True)
def _count_each_configuration_once() -> Iterator[None]:
    """Count each configuration once for all commands of the document."""
    create_state = functools.cache(calculation.create_state)
    measured: dict[Config, Step] = {}

    def measure_step(config: Config, state: TrainState) -> Step:
        if config not in measured:
            measured[config] = count(config, state)
        return measured[config]

    count = calculation.measure_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calculation, "create_state", create_state)
        patch.setattr(calculation, "measure_step", measure_step)
        yield


def test_the_document_has_every_table() -> None:
    assert len(EXAMPLES) >= len(TABLE_NAMES) - 2
    shown = ",".join(re.findall(r"--tables=(\S+)", " ".join(arguments for arguments, _ in EXAMPLES)))
    assert set(shown.split(",")) == set(TABLE_NAMES)


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        pytest.param(
            arguments,
            output,
            id=" ".join(arguments.split()[:3]),
            # Other configurations have to be counted again.
            marks=[] if "=configs/imagenet.cfg" in arguments else pytest.mark.slow,
        )
        for arguments, output in EXAMPLES
    ],
)
def test_the_document_shows_what_the_tool_prints(
    arguments: str, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(*shlex.split(arguments.replace("\\\n", " "))) == 0
    assert capsys.readouterr().out.rstrip() == output.rstrip()


def test_sentences_of_the_document_have_the_defaults_of_the_tool() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    given = {name: getattr(ScalingOptions(), name) for name in ("link_latency_us", "local_latency_us", "launch_us")}
    for name, value in given.items():
        assert f"`--{name}` {value:g}" in text
    for speed in (image_input.ORIGINAL_IMAGES_PER_CORE, image_input.PREPARED_IMAGES_PER_CORE):
        assert f"{speed:,.0f}" in text
    assert re.search(r"44 MB of the 326\s+MB", text)


def test_pack_sizes_in_the_document_match_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    config = scaling.resolve_num_classes(parse_config(["--flagfile=configs/imagenet.cfg"]))
    sizes = count_network_sizes(calculation.create_state(config))
    size = create_communication_options("auto", has_gpus=True).bytes_per_pack
    packs = [
        pack_gradients(variables, size) for variables in (sizes.discriminator_variables, sizes.generator_variables)
    ]
    for first, second, third in packs:
        assert f"{4e-6 * first:.0f}, {4e-6 * second:.0f} and {4e-6 * third:.0f} MB" in text
    early = sum(sum(messages[:-1]) for messages in packs) / sum(map(sum, packs))
    assert f"{early:.0%}".replace("%", " % of the bytes") in text


def test_figures_are_written_unrounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert run(*TINY, "--tables=strong,reductions,strong", f"--json={file}", "--workers=1,2") == 0
    figures = json.loads(file.read_text())
    assert list(figures) == ["strong", "reductions"]
    assert figures["strong"]["title"] in capsys.readouterr().out
    first, *_, last = figures["strong"]["rows"]
    assert first["efficiency"] == 1.0 and 0.0 < last["efficiency"] < 1.0
    assert figures["reductions"]["rows"][0]["num_bytes"] == 4 * figures["reductions"]["rows"][0]["values"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--wokers=2"], ["--wokers", "--workers"]),
        (["--workers=two"], ["--workers=two"]),
        (["--link_gbits=nan"], ["--link_gbits=nan"]),
        (["--device=K80"], ["--device=K80", "A100_40GB"]),
        (["--tables=cake"], ["--tables=cake", "step"]),
        (["--overlap=2"], ["overlap: ", "2.0"]),
        (["--flagfile=missing.cfg"], ["--flagfile="]),
        (["--json=/proc/no/figures.json"], ["json: ", "/proc/no/figures.json"]),
        (["--dataset=folder"], ["num_classes: ", "folder"]),
        (["--precision=mixed_bfloat16", "--device=V100"], ["precision: ", "V100", "mixed_bfloat16"]),
        (["--jit_compile"], ["jit_compile: ", "true"]),
        (["--resolution=100"], ["resolution: ", "100"]),
        (["--global_batch_size=4", "--gradient_accumulation_steps=3"], ["global_batch_size: ", "3"]),
        ([*TINY, "--workers=3", "--tables=strong"], ["workers: ", "256"]),
    ],
)
def test_errors_are_one_line_with_the_option_and_the_value(
    arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = (line for line in printed.err.splitlines() if not line.startswith("usage: "))
    assert line.startswith("tools.scaling: error: ") and all(part in line for part in named)


def test_tables_are_printed_even_if_their_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scaling, "write_atomically", full)
    assert run(*TINY, "--tables=reductions", f"--json={tmp_path / 'a.json'}") == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) > 3 and "json: " in printed.err and str(tmp_path) in printed.err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], 1000),
        (["--dataset=folder", "--num_classes=7"], 7),
        (["--dataset=folder", "--conditioning=none"], 0),
    ],
)
def test_number_of_classes(flags: list[str], expected: int) -> None:
    assert scaling.resolve_num_classes(parse_config(flags)).model.num_classes == expected


def test_help_does_not_load_tensorflow() -> None:
    program = (
        "import sys; sys.path.insert(0, '.'); sys.argv = ['scaling.py', '--help']\n"
        "from tools import scaling\n"
        "from sagan_tf.cli.command_line import run_command_line\n"
        "classes = scaling.ScalingOptions, scaling.Config\n"
        "status = run_command_line('tools.scaling', scaling.__doc__, scaling.main, *classes)\n"
        "assert 'tensorflow' not in sys.modules\n"
        "sys.exit(status)\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"--{name}" in shown for name in ("workers", "link_gbits", "utilization", "price_per_hour", "precision"))


def test_the_tool_runs_as_a_program() -> None:
    command = [sys.executable, "tools/scaling.py", "--device=K80"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "tools.scaling: error: --device=K80" in done.stderr and not done.stdout
