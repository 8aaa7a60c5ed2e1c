"""The safetensors format: a length, a JSON header, and the numbers.

    8 bytes     N, the length of the header, little-endian
    N bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                 ..., "__metadata__": {"text": "text"}}, padded with spaces
    the rest    the tensors, row-major and little-endian, one after another; offsets
                count from here

That is all of it, which is its virtue: nothing in it is a program. The format's own
library reads the header, and holds every number in it against every other and against
the size of the file. What it accepts are tensors that follow one another to the end,
without gap or overlap; so where each one lies follows from the shapes before it. Of a
name that stands there twice it takes the last; here such a header is refused.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from .documents import LFS_POINTER, MEGABYTE, parse_object
from .errors import CheckpointError, DamagedFileError, quoted

METADATA = "__metadata__"  # where a header keeps them, beside the tensors' names

# 100,000 tensors have a header of 10 MB. The library reads headers of 100 MB, for which
# it may take 2 GB.
HEADER_LIMIT = 16 * MEGABYTE

# How the bytes are stored. NumPy has no bfloat16 (the upper half of a float32) and
# trusts a boolean to be 0 or 1, so both are taken as integers and decoded later.
FLOATING = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
SIGNED = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
UNSIGNED = {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1"}
STORAGE = {k: np.dtype(name) for k, name in (FLOATING | SIGNED | UNSIGNED).items()}


@dataclass(frozen=True)
class Record:
    """Where a tensor lies in its file, and what it is."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def storage(self) -> np.dtype:
        return STORAGE[self.kind]


class Header(NamedTuple):
    """What stands before the tensors: name -> record in the order of the file, and
    texts by name, what was noted of the whole."""

    records: dict[str, Record]
    metadata: dict[str, str]


def read_header(file: BinaryIO, path: str | os.PathLike) -> Header:
    """The header of the file at this path, which `file` has open."""
    first = file.read(8)
    if first == LFS_POINTER[:8]:
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the tensors: run git lfs pull"
        )
    length = int.from_bytes(first, "little")
    if length > HEADER_LIMIT:
        raise DamagedFileError(
            f"{path} claims a header of {length} bytes, but a header at most "
            f"{HEADER_LIMIT} long is read: it is damaged, or no safetensors file"
        )
    try:
        with safe_open(path, "numpy") as library:
            slices = {name: library.get_slice(name) for name in library.offset_keys()}
        opened, now = os.fstat(file.fileno()), os.stat(path)
    except (SafetensorError, OSError) as problem:
        raise DamagedFileError(
            f"{path} is cut short, damaged or no safetensors file: download it again. "
            f"The safetensors library says {quoted(str(problem))}"
        ) from None
    document = _with_names_once(file.read(length), path)
    records, position = {}, 8 + length
    for name, tensor in slices.items():
        kind, shape = tensor.get_dtype(), tuple(tensor.get_shape())
        _check(kind, shape, f"{path}: tensor {quoted(name)}")
        end = position + math.prod(shape) * STORAGE[kind].itemsize
        records[name] = Record(name, kind, shape, position, end)
        position = end
    # Whoever saves a checkpoint puts a new file in the place of the old one.
    if position != opened.st_size or not os.path.samestat(opened, now):
        raise CheckpointError(f"{path} was changed while it was opened: load it again")
    return Header(records, document.get(METADATA) or {})


def _with_names_once(header: bytes, path: str | os.PathLike) -> dict[str, Any]:
    """The header, but for a name that stands there twice: which of the two is meant?"""
    text = header.decode("utf-8", errors="replace")
    return parse_object(text, f"the header of {path}", CheckpointError)


def _check(kind: str, shape: tuple[int, ...], tensor: str) -> None:
    """Refuse what the format allows and NumPy cannot hold."""
    if kind not in STORAGE:
        raise CheckpointError(
            f"{tensor} has the dtype {kind}, which is not read here; those that are: "
            f"{', '.join(STORAGE)}"
        )
    try:
        np.broadcast_to(np.float64(0), shape)  # takes no memory
    except ValueError as problem:
        raise CheckpointError(
            f"{tensor} has the shape {quoted(list(shape))}, which no array can have: "
            f"{problem}"
        ) from None
