"""Self-Attention Generative Adversarial Networks (Zhang et al. 2019) for TensorFlow and Keras.

Subpackages are imported at their first use, so that `import sagan_tf` does not load TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagan_tf.api import Config, evaluate, export, load_generator, open_data, read_metrics, sample, train

__version__ = "0.2.0"

_FUNCTIONS = ("Config", "load_generator", "open_data", "read_metrics")
_MODULES = (
    "evaluate",  # the modules of the commands are also the functions of the same names in `api`
    "export",
    "sample",
    "train",
    "config",
    "data",
    "errors",
    "layers",
    "losses",
    "networks",
    "visualization",
)

__all__ = [
    "Config",
    "__version__",
    "evaluate",
    "export",
    "load_generator",
    "open_data",
    "read_metrics",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.api"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
