"""Reader of tensors in files that `torch.save` wrote before PyTorch 1.6. It does not need PyTorch.

These files are pickles, and loading a pickle may call any function. This module reads the operations of the pickle one
by one and performs only those that describe tensors. Any other operation is an error; nothing is imported or called.
"""

from __future__ import annotations

import dataclasses
import io
import math
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sagan_tf.errors import UserError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"


class _Storage(NamedTuple):
    """Description of numbers at the end of the file, of which tensors are views."""

    dtype: str
    key: str
    num_elements: int


class _Tensor(NamedTuple):
    """A view of a storage, with offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(content: bytes, name: str) -> dict[str, np.ndarray]:
    """Read a dictionary of tensors, such as the state of a module.

    Args:
        content: The bytes of the file.
        name: The name of the file, for the error message.

    Returns:
        Arrays by name, in the order of the file.

    Raises:
        UserError: The file is damaged, has another format, or contains anything but tensors of float32 or int64.
    """
    try:
        return _read_tensors(io.BytesIO(content))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"source: {name} is not a file that torch.save wrote before PyTorch 1.6 ({error!r})") from error


def _read_tensors(file: io.BytesIO) -> dict[str, np.ndarray]:
    if (_read_object(file), _read_object(file)) != (_MAGIC_NUMBER, _PROTOCOL_VERSION):
        raise ValueError("wrong format")
    if _read_object(file)["little_endian"] is not True:
        raise ValueError("big-endian file")
    tensors = _read_object(file)
    keys = _read_object(file)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    arrays = {key: _read_storage(file, storages[key]) for key in keys}
    return {str(name): _copy_tensor(tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    if count != storage.num_elements:
        raise ValueError(f"expected {storage.num_elements} numbers, received {count}")
    dtype = np.dtype(storage.dtype)
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _copy_tensor(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """Copy a tensor with any strides to an array in C order."""
    offset, shape, strides = tensor.offset, tensor.shape, tensor.strides
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min((offset, *strides)) < 0 or min(shape, default=1) < 1 or max(last + 1, math.prod(shape)) > len(storage):
        raise ValueError(f"a tensor outside its storage of {len(storage)} numbers: {offset}, {shape}, {strides}")
    byte_strides = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, byte_strides, writeable=False).copy()


def _read_object(file: io.BytesIO) -> Any:
    """Read one pickled object; the position of the file is then after it."""
    machine = _StackMachine()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "STOP":
            return machine.stack.pop()
        if operation.name not in _OPERATIONS:
            raise ValueError(f"unsupported operation {operation.name}")
        _OPERATIONS[operation.name](machine, argument)
    raise ValueError("no STOP operation")


_MARK = object()


@dataclasses.dataclass
class _StackMachine:
    """Stack and memo of a pickle machine."""

    stack: list[Any] = dataclasses.field(default_factory=list)
    memo: dict[int, Any] = dataclasses.field(default_factory=dict)

    def pop_to_mark(self) -> list[Any]:
        start = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        values = self.stack[start + 1 :]
        del self.stack[start:]
        return values

    def push_tuple(self, values: list[Any]) -> None:
        self.stack.append(tuple(values))

    def pop(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def set_items(self, values: list[Any]) -> None:
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def append_items(self, values: list[Any]) -> None:
        self.stack[-1].extend(values)

    def push_name(self, name: str) -> None:
        if name not in (_ORDERED_DICT, _REBUILD_TENSOR, *_DTYPES):
            raise ValueError(f"unsupported name {name}")
        self.stack.append(name)

    def call(self) -> None:
        name, arguments = self.pop(2)
        if name == _ORDERED_DICT and arguments == ():
            self.stack.append({})
        elif name == _REBUILD_TENSOR:
            storage, offset, shape, strides, _, _ = arguments
            self.stack.append(_Tensor(storage, offset, shape, strides))
        else:
            raise ValueError(f"unsupported call of {name}")

    def push_storage(self) -> None:
        _, dtype, key, _, count, view = self.stack.pop()
        if view is not None:
            raise ValueError("unsupported view of a storage")
        self.stack.append(_Storage(_DTYPES[dtype], key, count))


_OPERATIONS: dict[str, Callable[[_StackMachine, Any], Any]] = {
    "PROTO": lambda machine, argument: None,
    "MARK": lambda machine, argument: machine.stack.append(_MARK),
    "NONE": lambda machine, argument: machine.stack.append(None),
    "NEWTRUE": lambda machine, argument: machine.stack.append(True),
    "NEWFALSE": lambda machine, argument: machine.stack.append(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"),
        lambda machine, argument: machine.stack.append(argument),
    ),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, argument: machine.remember(argument)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, argument: machine.stack.append(machine.memo[argument])),
    "EMPTY_TUPLE": lambda machine, argument: machine.push_tuple([]),
    "TUPLE1": lambda machine, argument: machine.push_tuple(machine.pop(1)),
    "TUPLE2": lambda machine, argument: machine.push_tuple(machine.pop(2)),
    "TUPLE3": lambda machine, argument: machine.push_tuple(machine.pop(3)),
    "TUPLE": lambda machine, argument: machine.push_tuple(machine.pop_to_mark()),
    "EMPTY_LIST": lambda machine, argument: machine.stack.append([]),
    "APPENDS": lambda machine, argument: machine.append_items(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, argument: machine.stack.append({}),
    "SETITEM": lambda machine, argument: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, argument: machine.push_name(argument),
    "REDUCE": lambda machine, argument: machine.call(),
    # BUILD sets attributes of a module's state: the versions of its layers, which are not needed.
    "BUILD": lambda machine, argument: machine.stack.pop(),
    "BINPERSID": lambda machine, argument: machine.push_storage(),
}
"""Action for each supported pickle operation."""
