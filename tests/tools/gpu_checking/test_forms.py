from __future__ import annotations

from typing import Any

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config, TrainingConfig
from tools.gpu_checking.forms import FORMS, config_of_form, reason_to_skip


@pytest.mark.parametrize("name", FORMS)
def test_the_flags_of_a_form_are_its_options(name: str) -> None:
    config = config_of_form(Config(), FORMS[name])
    assert config.training == parse_config(FORMS[name].flags).training


def test_a_form_replaces_what_the_user_chose() -> None:
    chosen = Config(training=TrainingConfig(jit_compile=True, tf32=False, precision="mixed_float16"))
    assert config_of_form(chosen, FORMS["mixed_bfloat16"]).training == TrainingConfig(precision="mixed_bfloat16")


def test_forms_that_a_machine_cannot_use_are_left_out() -> None:
    def timed(**facts: Any) -> list[str]:
        return [name for name in FORMS if not reason_to_skip(FORMS[name], **facts)]

    assert timed(has_gpu=False) == ["float32", "mixed_bfloat16", "xla"]
    assert timed() == list(FORMS)
    assert timed(replicas=2) == ["float32", "tf32", "mixed_bfloat16", "mixed_float16"]
