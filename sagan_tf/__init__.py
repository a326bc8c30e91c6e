"""Self-Attention Generative Adversarial Networks (Zhang et al. 2019) for TensorFlow and Keras.

The subpackages are imported when they are first used, so `import sagan_tf` does not load TensorFlow.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "config",
    "data",
    "errors",
    "layers",
    "losses",
    "networks",
    "training",
    "visualization",
)

__all__ = ["__version__", *_SUBMODULES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
