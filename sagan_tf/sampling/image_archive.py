"""Archives of images in one .npz file, written in batches so that memory does not grow with their number."""

from __future__ import annotations

import math
import pathlib
import zipfile
from collections.abc import Iterable

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, replace_atomically


def write_archive(
    path: pathlib.Path,
    batches: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    seeds: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
) -> None:
    """Write an archive atomically.

    Args:
        path: Path of the file.
        batches: Batches of images, uint8 [n, *shape]; all batches together have one image per seed.
        shape: Height, width and channels of an image.
        seeds: Seeds of the images, int64 [images].
        labels: Labels of the images, int32 [images].
        class_names: Names of the classes.

    Raises:
        UserError: The archive cannot be written. Too little disk space is reported before the first batch is made.
    """
    check_can_write_file(path, "output", num_bytes=len(seeds) * math.prod(shape))
    try:
        with replace_atomically(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            with archive.open("images.npy", "w", force_zip64=True) as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(seeds), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for batch in batches:
                    file.write(np.ascontiguousarray(batch).tobytes())
            for name, array in {"labels": labels, "seeds": seeds, "class_names": np.array(class_names, str)}.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
    except OSError as error:
        raise UserError(
            f"output: cannot write {path} ({error.strerror or error}); with a directory as --output, run the same "
            "command again to continue"
        ) from error
