"""The command line of the client."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_tf.serving.client import run
from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel
from tests.serving.small_model import read_color
from tests.workers import find_free_ports

ROOT = pathlib.Path(__file__).parents[2]
TILE = 48


@pytest.fixture
def card(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "model_card.json"
    path.write_text(json.dumps({"num_classes": 3, "class_names": ["Bag", "Shirt", "Coat"]}), encoding="utf-8")
    return path


def read_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the error message of the command."""
    assert run(arguments) == 2
    *_, line = capsys.readouterr().err.splitlines()
    return line.removeprefix("sagan_tf.serving.client: error: ")


def read_center_colors(path: pathlib.Path, rows: int, columns: int) -> np.ndarray:
    """Return the color in the center of every image of a sheet, [rows, columns, 3]."""
    with Image.open(path) as image:
        pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    tops = [height - (rows - row) * (TILE + 2) + TILE // 2 - 2 for row in range(rows)]
    lefts = [width - (columns - column) * (TILE + 2) + TILE // 2 - 2 for column in range(columns)]
    return pixels[np.ix_(tops, lefts)]


def test_a_sheet_has_one_row_per_class(
    server: ModelServer, card: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "grid.png"
    arguments = [f"--server={server.rest}", "--rest", f"--output={output}", f"--model_card={card}", "--seed=5"]
    assert run([*arguments, "--columns=4", "--truncation=0.5"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    colors = read_center_colors(output, 3, 4)
    np.testing.assert_array_equal(colors[..., 0], np.tile([5, 6, 7, 8], (3, 1)))
    np.testing.assert_array_equal(colors[..., 1], np.repeat([[0], [1], [2]], 4, axis=1))
    assert np.all(colors[..., 2] == 5)
    assert "--overwrite" in read_error(capsys, *arguments)
    assert run([*arguments, '--labels="coat",0', "--columns=2", "--overwrite"]) == 0
    np.testing.assert_array_equal(read_center_colors(output, 2, 2)[..., 1], [[2, 2], [0, 0]])


def test_a_sheet_without_a_model_card(server: ModelServer, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "grid.png"
    assert run([f"--server={server.grpc}", f"--output={output}"]) == 0
    np.testing.assert_array_equal(read_center_colors(output, 1, 8)[0, :, 0], range(8))
    with Image.open(output) as image:
        assert image.width < 8 * (TILE + 2) + 20  # the sheet has no names of rows


def test_a_directory_has_one_file_per_image(
    server: ModelServer, card: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "images"
    output.mkdir()
    (output / ".DS_Store").touch()  # file managers create it in an empty directory
    arguments = [f"--server={server.grpc}", f"--output={output}", f"--model_card={card}", "--seed=12"]
    assert run([*arguments, "--num_samples=300"]) == 0
    assert capsys.readouterr().out == f"300 images in {output}\n"
    assert sorted(path.name for path in output.glob("*.png")) == [f"{seed:08d}.png" for seed in range(12, 312)]
    for seed in (12, 13, 267, 268, 311):
        assert read_color((output / f"{seed:08d}.png").read_bytes()) == [seed % 256, seed % 3, 80]
    message = read_error(capsys, *arguments)
    assert message.startswith("output: ") and str(output) in message and "--overwrite" in message
    assert run([*arguments, "--num_samples=1", "--labels=Shirt", "--truncation=2", "--overwrite"]) == 0
    assert read_color((output / "00000012.png").read_bytes()) == [12, 1, 20]
    assert [path.name for path in output.iterdir() if path.suffix == ".png"] == ["00000012.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--output=", "output: "),
        ("--output=a --server=", "server: "),
        ("--output=a --labels=,", "--labels=,: "),
        ("--output=a.jpg", "output: .*a.jpg"),
        ("--output=a --columns=8", "columns: --columns=8"),
        ("--output=.png --columns=8", "columns: --columns=8"),
        ("--output=a.png --num_samples=100", "num_samples: --num_samples=100"),
        ("--output=a.png/ --num_samples=100", "num_samples: --num_samples=100"),
        ("--output=a --num_samples=0", "num_samples: .*received 0"),
        ("--output=a.png --columns=0", "columns: .*received 0"),
        ("--output=a.png --columns=9999", "columns: .*received 9999"),
        ("--output=a.png --seed=-1", "seed: .*received -1"),
        ("--output=a.png --labels=Bag", "labels: .*'Bag'.*--model_card"),
        ("--output=a.png --labels=3", "generate: .*refused"),
        ("--output=a.png --truncation=-1", "truncation: .*received -1.0"),
        ("--output=a.png --timeout=0", "timeout: .*0.0"),
        ("--output=a.png --model=other", "model: .*other"),
        ("--output=a.png --version=2", "model: .*version 2"),
        ("--output=a.png --model_card=none.json", "model_card: .*none.json"),
        ("--output=/dev/null/a.png", "output: .*/dev/null/a.png"),
        ("--output=/dev/null/a", "output: .*/dev/null/a"),
    ],
)
def test_errors_give_one_line(
    server: ModelServer,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.match(message, read_error(capsys, f"--server={server.grpc}", *arguments.split()))
    assert not list(tmp_path.iterdir())


def test_the_suffix_of_the_output_must_match_its_kind(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory.png").mkdir()
    for name in ("file", "directory.png"):
        message = read_error(capsys, "--server=localhost:1", f"--output={tmp_path / name}", "--overwrite")
        assert message.startswith("output: ") and name in message


@pytest.mark.usefixtures("short_waits")
def test_a_faulty_server_gives_one_line_and_no_file(
    double: ModelServer, model: ServedModel, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--server={double.grpc}", f"--output={tmp_path / 'images'}", "--timeout=20"]
    model.faults += [Fault(14)] * 5
    assert re.match("server: .*its reason", read_error(capsys, *arguments))
    model.faults.append(Fault(outputs={"png_bytes": np.array([b"not an image"], object)}))
    arguments = [f"--server={double.rest}", "--rest", f"--output={tmp_path / 'a.png'}", "--columns=1"]
    model.faults.insert(0, Fault())  # The client first reads the size of images.
    assert re.match("server: .*PNG", read_error(capsys, *arguments))
    assert not list(tmp_path.rglob("*.png"))


def test_the_command_as_a_user_runs_it(server: ModelServer, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "sagan_tf.serving.client", f"--server={server.rest}", "--rest"]
    command += [f"--output={tmp_path / 'a.png'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "a.png").exists()


@pytest.mark.parametrize("flags", [["--rest"], []], ids=["rest", "grpc"])
def test_a_server_that_cannot_be_reached_gives_one_line(tmp_path: pathlib.Path, flags: list[str]) -> None:
    command = [sys.executable, "-m", "sagan_tf.serving.client", f"--server=127.0.0.1:{find_free_ports(1)[0]}", *flags]
    command += [f"--output={tmp_path / 'a.png'}", "--timeout=2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "server: " in line and "Connection refused" in line


def test_a_malformed_header_of_a_server_prints_nothing(
    double: ModelServer, model: ServedModel, tmp_path: pathlib.Path
) -> None:
    """urllib3 would log a warning."""
    model.faults.append(Fault(500, headers={"a b": "c"}))
    command = [sys.executable, "-m", "sagan_tf.serving.client", f"--server={double.rest}", "--rest"]
    command += [f"--output={tmp_path / 'a.png'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_help_and_wrong_flags_load_no_transport() -> None:
    program = (
        "import sys; from sagan_tf.serving.client import run\n"
        "assert run(['--help']) == 0 and run(['--colums=3']) == 2\n"
        "assert not {'tensorflow', 'keras', 'grpc', 'requests', 'google.protobuf'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--model_card" in done.stdout and "--colums" in done.stderr
