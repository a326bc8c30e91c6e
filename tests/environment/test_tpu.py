import os
import pathlib

import pytest

from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.environment import tpu
from sagan_tf.environment.tpu import has_tpu

VARIABLE = "TPU_LOAD_LIBRARY"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), False),
        (("dev/null", "dev/nvidia0"), False),
        (("dev/accel0", "dev/accel1"), True),
        (("dev/vfio/0", "dev/vfio/vfio"), True),
        (("dev/vfio/vfio",), False),
    ],
)
def test_detection_of_tpus(tmp_path: pathlib.Path, files: tuple[str, ...], expected: bool) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert has_tpu(tmp_path) is expected


@pytest.mark.parametrize(
    ("present", "before", "after"), [(False, None, "0"), (True, None, None), (False, "1", "1"), (True, "0", "0")]
)
def test_tpu_library_is_skipped_without_a_tpu(
    present: bool, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != VARIABLE})
    if before is not None:
        os.environ[VARIABLE] = before
    monkeypatch.setattr(tpu, "has_tpu", lambda: present)
    load_tensorflow()
    assert os.environ.get(VARIABLE) == after
