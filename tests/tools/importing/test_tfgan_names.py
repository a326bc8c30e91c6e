"""Networks found by variable names. test_import_tfgan_checkpoint.py and test_configuration.py test the names."""

from __future__ import annotations

import pytest

from sagan_tf.errors import UserError
from tools.importing.tfgan_names import NAMINGS, find_networks

TFGAN, OFFICIAL = NAMINGS


def test_networks_are_found_under_any_scope() -> None:
    names = ["a/b/g_snh0/dense/kernel", "a/b/g_snh0/dense/kernel/Adam", "d_sn_linear/dense/kernel", "global_step"]
    assert find_networks(names) == (TFGAN, "a/b/", "")
    assert find_networks(["model/g_snh0/Matrix"]) == (OFFICIAL, "model/", None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["conv/w", "step"], r"checkpoint: .* received 2 variables such as conv/w"),
        ([], "checkpoint: .* received no variables"),
        (["_CHECKPOINTABLE_OBJECT_GRAPH", "state/step"], "checkpoint: .* received .*TensorFlow 2"),
        (["a/g_snh0/Matrix", "b/g_snh0/Matrix"], "checkpoint: expected one generator, received 2, under a/, b/"),
        (["my_g_snh0/Matrix"], "checkpoint: .* such as my_g_snh0/Matrix"),
    ],
)
def test_unknown_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_networks(names)
