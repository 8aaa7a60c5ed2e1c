r"""A tensor on the disk: mapped into memory, decoded when it is first asked for.

A file of float32 is used where it lies: the array is a view of the mapped file, and
the system reads the pages as they are touched. Other floating types are converted a
block at a time, so that the file's bytes and the array are never both held. A bfloat16
is the upper half of a float32, $\text{float32} = \text{uint16} \cdot 2^{16}$ as bits.
"""

from __future__ import annotations

import mmap
import threading
from pathlib import Path

import numpy as np

from ..ops.rounding import bfloat16_from_bits
from .documents import open_ordinary
from .errors import CheckpointError, quoted
from .header import FLOATING, Record, read_header

BLOCK = 1 << 16  # numbers decoded at a time: they stay in the cache


class MappedFile:
    """A safetensors file whose header has been checked, mapped into memory."""

    def __init__(self, path: str | Path):
        self.path = path
        with open_ordinary(path) as file:
            self.records = read_header(file, path)
            try:
                self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as problem:
                raise CheckpointError(f"{path} cannot be mapped: {problem}") from None
        self.size = len(self.memory)
        self.reading = threading.Lock()

    def numbers(self, record: Record) -> np.ndarray:
        """The stored numbers as one flat, read-only view."""
        if self.memory.size() != self.size:
            raise CheckpointError(f"{self.path} was changed while it was in use")
        if record.begin == record.end:
            return np.empty(0, record.storage)
        count = (record.end - record.begin) // record.storage.itemsize
        return np.frombuffer(self.memory, record.storage, count, record.begin)

    def forget(self, begin: int, end: int) -> None:
        """Give the pages of these bytes back; they can be read again at any time."""
        if hasattr(mmap, "MADV_DONTNEED"):
            begin -= begin % mmap.PAGESIZE
            self.memory.madvise(mmap.MADV_DONTNEED, begin, end - begin)


class StoredTensor:
    """A tensor of a mapped file: its shape at once, its values at the first look."""

    __slots__ = ("_array", "_dtype", "_file", "_record", "shape")

    def __init__(self, file: MappedFile, record: Record, dtype: np.dtype | None):
        self.shape = record.shape
        self._file, self._record, self._dtype = file, record, dtype
        self._array: np.ndarray | None = None

    @property
    def is_floating(self) -> bool:
        return self._record.kind in FLOATING

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
        numbers = self._file.numbers(self._record)
        kind = self._record.kind
        if kind == "BOOL":
            return numbers != 0
        if not self.is_floating:
            return numbers.astype(numbers.dtype.newbyteorder("="))
        natural = np.dtype(np.float32) if kind == "BF16" else numbers.dtype
        dtype = (self._dtype or natural).newbyteorder("=")
        if kind != "BF16" and numbers.dtype == dtype and numbers.flags.aligned:
            self._check(numbers, numbers)
            return numbers
        return self._convert(numbers, dtype)

    def _convert(self, numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
        values = np.empty(numbers.shape, dtype)
        width = numbers.itemsize
        for start in range(0, len(numbers), BLOCK):
            block = numbers[start : start + BLOCK]
            if self._record.kind == "BF16":
                block = bfloat16_from_bits(block)
            with np.errstate(over="ignore", under="ignore"):
                values[start : start + BLOCK] = block
            self._check(values[start : start + BLOCK], block, start)
            begin = self._record.begin + start * width
            self._file.forget(begin, begin + len(block) * width)
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


class HeldTensor:
    """A tensor that is in memory already: an array, or a Variable."""

    __slots__ = ("_value", "shape")

    def __init__(self, value):
        self.shape, self._value = tuple(value.shape), value

    @property
    def is_floating(self) -> bool:
        return np.dtype(self._value.dtype).kind == "f"

    def array(self):
        return self._value
