r"""A tensor on the disk: read and decoded when it is first asked for.

A file of float32 is read straight into its array. Other floating types are converted a
block at a time, so that the file's bytes and the array are never both held. A bfloat16
is the upper half of a float32, $\text{float32} = \text{uint16} \cdot 2^{16}$ as bits.

A file may change while it is open. One that is replaced (`save` does so, and whoever
downloads should) leaves the old one open, and nobody notices. One that is written over
in its place is noticed at the next read, by its size and the time of its last change;
what was read before stays what it was. It is not mapped into memory: a mapped file that
is cut short kills the process that looks at it, and one that is written over changes
weights behind the back of their model. The price is memory: each process has a copy.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..ops.rounding import bfloat16_from_bits
from .documents import open_ordinary
from .errors import CheckpointError, quoted
from .header import FLOATING, Record, read_header

BLOCK = 1 << 16  # numbers decoded at a time: they stay in the cache


class TensorFile:
    """A safetensors file whose header has been checked, open for reading."""

    def __init__(self, path: str | Path):
        self.path = path
        self.file = open_ordinary(path)
        weakref.finalize(self, self.file.close)
        self.version = self._version()
        self.records, self.metadata = read_header(self.file, path)
        self.reading = threading.Lock()

    def __reduce__(self):
        """A copy in another process opens the file again, if it is still the same."""
        return _open_again, (os.path.abspath(self.path), self.version)

    def read(self, begin: int, numbers: np.ndarray) -> np.ndarray:
        """Fill a flat array with what is stored from there on."""
        room, filled = numbers.view(np.uint8).data, 0
        while part := filled < len(room) and self._fill(room[filled:], begin + filled):
            filled += part
        if filled != len(room) or self._version() != self.version:
            raise CheckpointError(
                f"{self.path} was changed while it was in use: load it again. Whoever "
                "writes a checkpoint puts a new file in the place of the old one"
            )
        return numbers

    def _fill(self, room: memoryview, begin: int) -> int:
        """How many bytes were read into the room, perhaps not all."""
        if hasattr(os, "preadv"):  # leaves the place alone that forked processes share
            return os.preadv(self.file.fileno(), [room], begin)
        self.file.seek(begin)
        part = self.file.read(len(room))
        room[: len(part)] = part
        return len(part)

    def _version(self) -> tuple[int, int]:
        """What differs, if anything does, between a file and what it was before."""
        now = os.fstat(self.file.fileno())
        return now.st_size, now.st_mtime_ns


def _open_again(path: str, version: tuple[int, int]) -> TensorFile:
    file = TensorFile(path)
    if file.version != version:
        raise CheckpointError(
            f"{path} is not the file any more that the copied model was loaded from"
        )
    return file


class Tensor:
    """What stands under a name in `Weights`: a shape at once, numbers when asked."""

    __slots__ = ()
    shape: tuple[int, ...]

    @property
    def is_floating(self) -> bool:
        """Whether the numbers are fractions."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """How many bytes keep them."""
        raise NotImplementedError

    def array(self):
        """All of them."""
        raise NotImplementedError

    def rows(self, places):
        """Those of some rows, by a slice or by whole numbers."""
        return self.array()[places]


class StoredTensor(Tensor):
    """A tensor of a file: its shape at once, its values at the first look."""

    __slots__ = ("_array", "_dtype", "_file", "_record", "shape")

    def __init__(self, file: TensorFile, record: Record, dtype: np.dtype | None):
        self.shape = record.shape
        self._file, self._record, self._dtype = file, record, dtype
        self._array: np.ndarray | None = None

    def __reduce__(self):
        return type(self), (self._file, self._record, self._dtype)

    def __deepcopy__(self, memo):
        return self  # nobody can write to it

    @property
    def is_floating(self) -> bool:
        return self._record.kind in FLOATING

    @property
    def kind(self) -> str:
        """How the file stores it: "F32", "BF16", "U8"."""
        return self._record.kind

    @property
    def nbytes(self) -> int:
        return self._record.end - self._record.begin

    @property
    def name(self) -> str:
        """What the file calls it."""
        return self._record.name

    @property
    def path(self) -> Path:
        """The file that it lies in."""
        return Path(self._file.path)

    @classmethod
    def of(cls, tensor: StoredTensor):
        """The same tensor, read as this class reads it."""
        return cls(tensor._file, tensor._record, tensor._dtype)

    def natural(self) -> StoredTensor:
        """The same tensor, in the dtype of the file, whatever was asked for."""
        return StoredTensor(self._file, self._record, None)

    def as_bytes(self) -> StoredTensor:
        """The same place of the file as bytes, (n,) of uint8, whatever lies there."""
        record = replace(self._record, kind="U8", shape=(self.nbytes,))
        return StoredTensor(self._file, record, None)

    def stored(self) -> np.ndarray:
        """The numbers as they lie in the file, read anew each time: of bfloat16 the
        bits, as uint16."""
        record = self._record
        numbers = np.empty(self.nbytes // record.storage.itemsize, record.storage)
        with self._file.reading:
            self._file.read(record.begin, numbers)
        native = numbers.astype(record.storage.newbyteorder("="), copy=False)
        return native.reshape(self.shape)

    def array(self) -> np.ndarray:
        """The same read-only array each time."""
        if self._array is None:
            with self._file.reading:
                if self._array is None:
                    array = self._read().reshape(self.shape)
                    array.flags.writeable = False
                    self._array = array
        return self._array

    def _read(self) -> np.ndarray:
        record, kind = self._record, self._record.kind
        count = (record.end - record.begin) // record.storage.itemsize
        stored = record.storage.newbyteorder("=")
        natural = np.dtype(np.float32) if kind == "BF16" else stored
        dtype = (self._dtype or natural) if self.is_floating else stored
        if (self.is_floating and dtype != stored) or kind == "BF16":
            return self._convert(np.empty(count, dtype))
        numbers = self._file.read(record.begin, np.empty(count, record.storage))
        if kind == "BOOL":
            return numbers != 0
        if self.is_floating:
            self._check(numbers, numbers)
        return numbers.astype(stored, copy=False)

    def _convert(self, values: np.ndarray) -> np.ndarray:
        """Read block by block into an array of another type."""
        record, block = self._record, np.empty(BLOCK, self._record.storage)
        for start in range(0, len(values), BLOCK):
            part = values[start : start + BLOCK]
            begin = record.begin + start * block.itemsize
            numbers = self._file.read(begin, block[: len(part)])
            if record.kind == "BF16":
                numbers = bfloat16_from_bits(numbers)
            with np.errstate(over="ignore", under="ignore"):
                part[:] = numbers
            self._check(part, numbers, start)
        return values

    def _check(self, values: np.ndarray, stored: np.ndarray, offset: int = 0) -> None:
        """Refuse infinities and NaNs, stored so or made so by a narrower dtype."""
        for start in range(0, len(values), BLOCK):
            finite = np.isfinite(values[start : start + BLOCK])
            if finite.all():
                continue
            first = start + int(finite.argmin())
            index = np.unravel_index(offset + first, self.shape)
            name, place = quoted(self._record.name), [int(i) for i in index]
            if np.isfinite(stored[first]):
                advice = f"too large for {values.dtype}: load with a wider dtype"
            else:
                advice = "not a finite number: the file is damaged, or training failed"
            raise CheckpointError(
                f"{self._file.path}: tensor {name} holds {stored[first]} at {place}, "
                f"{advice}"
            )


class HeldTensor(Tensor):
    """A tensor that is in memory already: an array, or a Variable."""

    __slots__ = ("_value", "shape")

    def __init__(self, value):
        self.shape, self._value = tuple(value.shape), value

    @property
    def is_floating(self) -> bool:
        return np.dtype(self._value.dtype).kind == "f"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self._value.dtype).itemsize

    def array(self):
        return self._value
