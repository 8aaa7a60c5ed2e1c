"""Safetensors files written by hand, good and bad."""

import json

import numpy as np


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_raw(path, header, data=b"", length=None):
    """A file from a header (an object, or the very bytes) and the data after it."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    length = len(header) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + header + data)
    return path


def small_file(path):
    """Four tensors of different kinds, 2 + 2 x 3 numbers, a scalar and a flag."""
    header = {
        "a": entry("F32", [2], 0, 8),
        "b.weight": entry("BF16", [2, 3], 8, 20),
        "b.count": entry("I64", [], 20, 28),
        "b.flag": entry("BOOL", [1], 28, 29),
        "__metadata__": {"format": "pt"},
    }
    data = np.array([1.0, 2.0], "<f4").tobytes()
    data += np.array([0x3F80, 0xC000, 0, 0x3F00, 0x4049, 0x42C8], "<u2").tobytes()
    data += np.array(7, "<i8").tobytes() + b"\x01"
    return write_raw(path, header, data)
