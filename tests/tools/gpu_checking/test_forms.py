from __future__ import annotations

from typing import Any

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config, TrainingConfig
from tools.gpu_checking.forms import FORMS, apply_form, find_reason_to_skip


@pytest.mark.parametrize("name", FORMS)
def test_the_flags_of_a_form_are_its_options(name: str) -> None:
    config = apply_form(Config(), FORMS[name])
    assert config.training == parse_config(FORMS[name].flags).training


def test_a_form_replaces_the_options_of_the_configuration() -> None:
    chosen = Config(training=TrainingConfig(jit_compile=True, tf32=False, precision="mixed_float16"))
    assert apply_form(chosen, FORMS["mixed_bfloat16"]).training == TrainingConfig(precision="mixed_bfloat16")


def test_forms_that_a_machine_does_not_support_are_skipped() -> None:
    def timed(**facts: Any) -> list[str]:
        return [name for name in FORMS if not find_reason_to_skip(FORMS[name], **facts)]

    assert timed(has_gpu=False) == ["float32", "mixed_bfloat16", "xla"]
    assert timed() == list(FORMS)
    assert timed(replicas=2) == ["float32", "tf32", "mixed_bfloat16", "mixed_float16"]
