"""The safetensors format: a length, a JSON header, and the numbers.

    8 bytes     N, the length of the header, little-endian
    N bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                 ..., "__metadata__": {"text": "text"}}, padded with spaces
    the rest    the tensors, row-major and little-endian, one after another; offsets
                count from here

That is all of it, which is its virtue: nothing in it is a program. A reader has to
check that every number in the header agrees with every other and with the size of the
file. After `read_header` has returned, each record can be taken at its word.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from .documents import MEGABYTE, parse_object
from .errors import CheckpointError, is_text, quoted

HEADER_LIMIT = 16 * MEGABYTE  # a header of 100,000 tensors has about 10 MB
LARGEST_RANK = 32
METADATA = "__metadata__"

# How the bytes are stored. NumPy has no bfloat16 (the upper half of a float32) and
# trusts a boolean to be 0 or 1, so both are taken as integers and decoded later.
STORAGE = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"),
}


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


def read_header(file: BinaryIO, path: object) -> dict[str, Record]:
    """name -> record, in the order of the file, each checked against the rest."""
    size = os.fstat(file.fileno()).st_size
    length = _header_length(file, size, path)
    content = file.read(length)
    if len(content) != length or not content.startswith(b"{"):
        raise CheckpointError(f"{path}: the header does not begin with '{{'")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"{path}: the header is not UTF-8 text") from None
    document = parse_object(text, f"{path}: the header", CheckpointError)
    _check_metadata(document.pop(METADATA, {}), path)
    start = 8 + length
    records = [_record(name, entry, start, path) for name, entry in document.items()]
    records.sort(key=lambda record: (record.begin, record.end))
    _check_coverage(records, start, size, path)
    return {record.name: record for record in records}


def _header_length(file: BinaryIO, size: int, path: object) -> int:
    prefix = file.read(8)
    if prefix == b"version ":
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the tensors: run git lfs pull"
        )
    if len(prefix) < 8:
        raise CheckpointError(
            f"{path} is truncated: {size} bytes are too few for a safetensors file"
        )
    length = int.from_bytes(prefix, "little")
    if length > min(HEADER_LIMIT, size - 8):
        raise CheckpointError(
            f"{path} claims a header of {length} bytes, but the file has {size} and a "
            f"header at most {HEADER_LIMIT}: it is truncated, or no safetensors file"
        )
    return length


def _check_metadata(metadata: Any, path: object) -> None:
    pairs = metadata.items() if isinstance(metadata, dict) else [(metadata, None)]
    if not all(isinstance(value, str) for _, value in pairs):
        raise CheckpointError(f"{path}: {METADATA} must be an object of texts")


def _record(name: str, entry: Any, start: int, path: object) -> Record:
    """One entry of the header, consistent in itself."""

    def fail(problem: str) -> CheckpointError:
        return CheckpointError(f"{path}: tensor {quoted(name)} {problem}")

    if not is_text(name):
        raise fail("has a name that is not valid Unicode")
    fields = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or entry.keys() != fields:
        raise fail("needs exactly the fields dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in STORAGE:
        known = ", ".join(STORAGE)
        raise fail(f"has the unknown dtype {quoted(kind)}; known are {known}")
    if not _are_sizes(shape) or len(shape) > LARGEST_RANK:
        raise fail(f"has the shape {quoted(shape)}, which is not a list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise fail(f"has the data_offsets {quoted(offsets)}, which are not two offsets")
    # Also when one axis is 0, the others have to be sizes that an array can have.
    if math.prod(max(length, 1) for length in shape) >= 1 << 59:
        raise fail(f"has the shape {quoted(shape)}, more than any memory holds")
    begin, end = offsets
    needed = math.prod(shape) * STORAGE[kind].itemsize
    if end - begin != needed:
        raise fail(
            f"of dtype {kind} and shape {quoted(shape)} needs {needed} bytes, but its "
            f"data_offsets {quoted(offsets)} span {end - begin}"
        )
    return Record(name, kind, tuple(shape), start + begin, start + end)


def _are_sizes(values: Any) -> bool:
    # `type is int`, because in Python True is an int as well.
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 1 << 63 for value in values
    )


def _check_coverage(records: list[Record], start: int, size: int, path: object) -> None:
    """The tensors follow one another to the end: no gap, no overlap, nothing cut."""
    position = start
    for record in records:
        if record.begin != position:
            how = "overlaps with" if record.begin < position else "leaves a gap after"
            raise CheckpointError(
                f"{path}: tensor {quoted(record.name)} {how} what lies before it "
                f"(it begins at byte {record.begin}, not {position})"
            )
        position = record.end
    if position != size:
        what = "is truncated" if position > size else "has bytes that no tensor owns"
        raise CheckpointError(
            f"{path} {what}: its tensors end at byte {position}, the file at {size}"
        )
