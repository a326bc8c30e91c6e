"""Files that the Dockerfile copies, which must suffice for the commands of the image."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a directory with the files that the Dockerfile copies."""
    directory = tmp_path_factory.mktemp("image")
    lines = (ROOT / "tools" / "launch" / "Dockerfile").read_text().splitlines()
    for *sources, target in (line.split()[1:] for line in lines if line.startswith("COPY ")):
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, directory / target, ignore=ignored, dirs_exist_ok=True)
            else:
                path = directory / target
                path = path / pathlib.PurePath(source).name if target.endswith("/") else path
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, path)
    return directory


def run_python(image: pathlib.Path, *arguments: str) -> str:
    """Return the output of Python in the image, without another copy of this project."""
    command = [sys.executable, *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        command,
        cwd=image,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_start(image: pathlib.Path) -> None:
    assert "--max_all_reduce_seconds" in run_python(image, "tools/gpu_check.py", "--help")
    assert "--global_batch_size" in run_python(image, "-m", "sagan_tf.train", "--help")
    print_files = "import tools.gpu_check, sagan_tf; print(sagan_tf.__file__, tools.gpu_check.__file__)"
    assert run_python(image, "-c", print_files).count(str(image)) == 2
    assert (image / "configs" / "imagenet.cfg").is_file()


def test_every_part_of_the_gpu_check_starts(image: pathlib.Path) -> None:
    program = "from tools.benchmarks.worker import MEASUREMENTS, import_measurement\n"
    program += "names = [name for name in MEASUREMENTS if name.startswith('gpu_')]\n"
    program += "print(len(list(map(import_measurement, names))))"
    assert run_python(image, "-c", program) == "4\n"
    request = '{"measurement": "gpu_environment", "parameters": {}}'
    answer = run_python(image, "-m", "tools.benchmarks.worker", request).splitlines()[-1]
    assert "error" not in json.loads(answer)
