"""Loading and digests of SavedModels in directories of any name."""

import pytest

from sagan_tf.errors import UserError
from sagan_tf.saved_models import compute_saved_model_digest, load_saved_model
from tests.features.fake_extractors import save_extractor


@pytest.mark.parametrize("name", ["gs[1]", "a\\b", "run* run?"])
def test_a_directory_of_any_name(name, tmp_path):
    path = tmp_path / name / "model[2]"
    save_extractor(path)
    before = compute_saved_model_digest(path)
    assert load_saved_model(path, "extractor") is not None
    (data,) = (path / "variables").glob("*.data-*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert compute_saved_model_digest(path) != before
    with pytest.raises(UserError) as raised:
        load_saved_model(path, "extractor")
    assert str(path) in str(raised.value) and "sagan_tf_" not in str(raised.value)
    with pytest.raises(UserError, match=f"^inception_dir: .*saved_model.pb.*received {tmp_path}"):
        load_saved_model(tmp_path, "inception_dir")
