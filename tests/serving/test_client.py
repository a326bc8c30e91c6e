"""The client's command line."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_tf.serving.client import run
from tests.exporting.small_model import SIDE, pixels_of
from tests.serving.model_server import ServerAddresses
from tests.workers import free_ports

ROOT = pathlib.Path(__file__).parents[2]
TILE = 48


@pytest.fixture
def card(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "model_card.json"
    path.write_text(json.dumps({"num_classes": 3, "class_names": ["Bag", "Shirt", "Coat"]}), encoding="utf-8")
    return path


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says of a mistake."""
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("sagan_tf.serving.client: error: ")


def middles(path: pathlib.Path, rows: int, columns: int) -> np.ndarray:
    """The colour in the middle of every picture of a sheet, [rows, columns, 3]."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    tops = [height - (rows - row) * (TILE + 2) + TILE // 2 - 2 for row in range(rows)]
    lefts = [width - (columns - column) * (TILE + 2) + TILE // 2 - 2 for column in range(columns)]
    return pixels[np.ix_(tops, lefts)]


def test_a_sheet_has_a_row_a_class(
    server: ServerAddresses, card: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "grid.png"
    arguments = [f"--server={server.rest}", "--rest", f"--output={output}", f"--model_card={card}", "--seed=5"]
    assert run([*arguments, "--columns=4", "--truncation=0.5"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    colours = middles(output, 3, 4)
    np.testing.assert_array_equal(colours[..., 0], np.tile([5, 6, 7, 8], (3, 1)))
    np.testing.assert_array_equal(colours[..., 1], np.repeat([[0], [1], [2]], 4, axis=1))
    assert np.all(colours[..., 2] == 5)
    assert "expected one that is not there yet" in error_of(capsys, *arguments)
    assert run([*arguments, '--labels="coat",0', "--columns=2", "--overwrite"]) == 0
    np.testing.assert_array_equal(middles(output, 2, 2)[..., 1], [[2, 2], [0, 0]])


def test_without_a_card(server: ServerAddresses, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "grid.png"
    assert run([f"--server={server.grpc}", f"--output={output}"]) == 0
    np.testing.assert_array_equal(middles(output, 1, 8)[0, :, 0], range(8))
    with Image.open(output) as picture:
        assert picture.width < 8 * (TILE + 2) + 20  # no name where there is none


def test_a_folder_has_a_file_a_picture(
    server: ServerAddresses, card: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pictures"
    output.mkdir()
    (output / ".DS_Store").touch()  # of a file manager that has shown the empty directory
    arguments = [f"--server={server.grpc}", f"--output={output}", f"--model_card={card}", "--seed=12"]
    assert run([*arguments, "--num_samples=300"]) == 0
    assert capsys.readouterr().out == f"300 pictures in {output}\n"
    assert sorted(path.name for path in output.glob("*.png")) == [f"{seed:08d}.png" for seed in range(12, 312)]
    for seed in (12, 13, 267, 268, 311):
        assert pixels_of((output / f"{seed:08d}.png").read_bytes()) == [seed % 256, seed % 3, 80]
    assert error_of(capsys, *arguments) == (
        f"output: expected one that is not there yet, received {output}; --overwrite writes over it"
    )
    assert run([*arguments, "--num_samples=1", "--labels=Shirt", "--truncation=2", "--overwrite"]) == 0
    assert pixels_of((output / "00000012.png").read_bytes()) == [12, 1, 20]
    assert len(list(output.glob("*.png"))) == 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--output=", "output: expected a folder, received ''"),
        ("--output=a.jpg", "output: expected a .png file or a folder, received a.jpg"),
        ("--output=a --columns=3", "columns: --columns=3"),
        ("--output=a.png --num_samples=3", "num_samples: --num_samples=3"),
        ("--output=a --num_samples=0", "num_samples: expected at least 1, received 0"),
        ("--output=a.png --columns=0", "columns: expected at least 1 and a sheet that can be opened, received 0 x 1"),
        ("--output=a.png --columns=9999", "columns: expected at least 1 and a sheet that can be opened"),
        ("--output=a.png --seed=-1", "seed: expected 0 to 4611686018427387904, received -1"),
        ("--output=a.png --labels=Bag", "labels: expected numbers, received 'Bag'; a model card tells names"),
        ("--output=a.png --labels=3", "generate: expected a request that"),
        ("--output=a.png --truncation=-1", "truncation: expected numbers of at least 0, received -1.0"),
        ("--output=a.png --timeout=0", "timeout: expected seconds above 0, to 1,000,000 at most, received 0.0"),
        ("--output=a.png --model=other", "model: expected one that"),
        ("--output=a.png --version=2", "model: expected one that"),
        (
            "--output=a.png --model_card=none.json",
            "model_card: expected a card with class_names and num_classes in none.json",
        ),
        ("--output=/dev/null/a.png", "output: cannot write /dev/null/a.png"),
        ("--output=/dev/null/a", "output: cannot write /dev/null/a"),
    ],
)
def test_mistakes_get_one_line(
    server: ServerAddresses,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(capsys, f"--server={server.grpc}", *arguments.split()).startswith(message)
    assert not list(tmp_path.iterdir())


def test_an_output_of_the_other_kind(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for name, kind in (("file", "folder"), ("folder.png", ".png file")):
        message = error_of(capsys, "--server=localhost:1", f"--output={tmp_path / name}", "--overwrite")
        assert message.startswith(f"output: expected a {kind}, received ")


def test_as_a_user_calls_it(server: ServerAddresses, tmp_path: pathlib.Path) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sagan_tf.serving.client", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = call(f"--server={server.grpc}", f"--output={tmp_path / 'a.png'}")
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "a.png").exists()
    (nobody,) = free_ports(1)
    done = call(f"--server=127.0.0.1:{nobody}", "--rest", f"--output={tmp_path / 'b.png'}", "--timeout=0.3")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("sagan_tf.serving.client: error: server: expected an answer of TensorFlow Serving at")
    done = call("--server=localhost:1", f"--output={tmp_path / 'b.png'}", "--colums=3")
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("sagan_tf.serving.client: error: ")
    assert SIDE < TILE  # the sheets above are of enlarged pictures
