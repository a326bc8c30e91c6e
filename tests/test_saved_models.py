from __future__ import annotations

import pathlib

import pytest

from sagan_tf.errors import UserError
from sagan_tf.saved_models import digest_of_saved_model, load_saved_model
from tests.features.fake_extractors import save_extractor


@pytest.mark.parametrize("name", ["gs[1]", "a\\b", "run* run?"])
def test_a_directory_of_any_name(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / name / "model[2]"
    save_extractor(path)
    before = digest_of_saved_model(path)
    assert load_saved_model(path, "extractor") is not None
    (data,) = (path / "variables").glob("*.data-*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert digest_of_saved_model(path) != before
    with pytest.raises(UserError) as raised:
        load_saved_model(path, "extractor")
    assert str(path) in str(raised.value) and "sagan_tf_" not in str(raised.value)
    with pytest.raises(UserError, match="^inception_dir: .*received none"):
        load_saved_model(tmp_path, "inception_dir")
