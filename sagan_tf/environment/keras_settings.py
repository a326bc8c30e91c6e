"""Keras settings of this package, independent of the environment, `keras.json` and the caller.

Keras keeps its backend, default dtype, image data format, epsilon and dtype policy in global variables. The networks of
this package must not depend on them, and the caller's values must be restored afterwards.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

from sagan_tf.environment.cuda import load_cuda_libraries
from sagan_tf.errors import UserError

_BACKEND = {"KERAS_BACKEND": "tensorflow"}
_PREFIX = "KERAS_"


def environment_without_keras_settings() -> dict[str, str]:
    """Return the environment of this process without the user's Keras settings.

    The backend is TensorFlow. `KERAS_HOME` is the null device, in which Keras neither finds nor writes `keras.json`.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    return variables | _BACKEND | {"KERAS_HOME": os.devnull}


def load_keras(*, read_user_settings: bool = True) -> None:
    """Import Keras with the TensorFlow backend, whatever backend the user has chosen.

    The environment variables are the same afterwards. TensorFlow then finds the CUDA libraries that pip has installed.

    Args:
        read_user_settings: Whether Keras reads the rest of `keras.json` and of its environment variables. As a library,
            the package leaves these settings to its caller. A command does not use them, and an error in them must not
            stop it.

    Raises:
        UserError: This process has already imported Keras with another backend.
    """
    load_cuda_libraries()
    environment = os.environ | _BACKEND if read_user_settings else environment_without_keras_settings()
    with _keras_variables({name: value for name, value in environment.items() if name.startswith(_PREFIX)}):
        if "keras" not in sys.modules:
            # TensorFlow imports Keras, too. If the chosen backend is not installed, TensorFlow hides the error, and
            # modules that hold the choice remain in sys.modules.
            for name in [name for name in sys.modules if name.startswith("keras.")]:
                del sys.modules[name]
        import tensorflow  # noqa: F401 - imported first, because it imports parts of Keras itself
        from keras import config
    if config.backend() != "tensorflow":
        raise UserError(
            f"KERAS_BACKEND: expected tensorflow, received {config.backend()}, with which this program has already "
            "imported Keras; set KERAS_BACKEND=tensorflow, or import sagan_tf.layers before Keras and TensorFlow"
        )


@contextlib.contextmanager
def keras_defaults(dtype_policy: str = "float32") -> Iterator[None]:
    """Apply the default settings of Keras inside the context.

    The caller's settings are restored at the end.

    Args:
        dtype_policy: The dtype policy of layers created inside: `float32`, `mixed_bfloat16` or `mixed_float16`.
    """
    from keras import config

    floatx, image_data_format, epsilon = config.floatx(), config.image_data_format(), config.epsilon()
    policy = config.dtype_policy()
    try:
        config.set_floatx("float32")
        config.set_image_data_format("channels_last")
        config.set_epsilon(1e-7)
        config.set_dtype_policy(dtype_policy)
        yield
    finally:
        config.set_floatx(floatx)
        config.set_image_data_format(image_data_format)
        config.set_epsilon(epsilon)
        config.set_dtype_policy(policy)


@contextlib.contextmanager
def _keras_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Replace all environment variables of Keras, inside the context."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_PREFIX)}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)
