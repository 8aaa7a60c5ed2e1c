"""Writing a checkpoint: whole, or not at all.

The safetensors library writes it, from the arrays as they lie in memory. The file is
written beside its place under another name, handed to the disk, and then renamed over
it in one step. Whoever reads the path finds the old file or the new one;
an interruption leaves the old one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from .errors import CheckpointError, is_text, quoted
from .header import STORAGE

METADATA = "__metadata__"  # where a header keeps them, beside the tensors' names
STORABLE = {*STORAGE.values(), np.dtype(bool)}


def save(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a `.safetensors` file that `load` and other readers accept.

    The metadata says `format: pt` unless it says otherwise: the layout of the arrays is
    PyTorch's, and Hugging Face's loaders ask for it.
    """
    arrays = {name: _checked(name, tensors[name]) for name in tensors}
    described = {"format": "pt", **(metadata or {})}
    if not all(is_text(text) for pair in described.items() for text in pair):
        raise CheckpointError("save: the metadata must be texts")
    with _replacing(Path(path)) as partial:
        save_file(arrays, partial, described)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file as UTF-8: whole, or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file: whole, or not at all."""
    with _replacing(Path(path)) as partial:
        partial.write_bytes(data)


@contextlib.contextmanager
def _replacing(path: Path):
    """A new file beside `path` to write into, put in its place once all went well."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            mode = os.stat(file.fileno()).st_mode
        yield partial
        # The library's files are their owner's alone, whatever the umask says.
        os.chmod(partial, mode)
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_directory(path.parent)
    except BaseException as problem:  # an interruption too must not leave a piece
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(problem, (OSError, SafetensorError)):
            raise CheckpointError(f"{path} cannot be written: {problem}") from None
        raise


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    """The array as it will lie in the file: row-major and little-endian."""
    if not is_text(name) or name == METADATA:
        raise CheckpointError(f"save: {quoted(name)} cannot be a tensor's name")
    if not isinstance(array, np.ndarray):
        what = type(array).__name__
        raise CheckpointError(f"save: {quoted(name)} is a {what}, not an array")
    little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if little.dtype not in STORABLE:
        raise CheckpointError(f"save: {quoted(name)} has the dtype {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CheckpointError(
            f"save: {quoted(name)} holds numbers that are not finite, which no reader "
            "would accept"
        )
    return little


def _sync_directory(directory: Path) -> None:
    """Make the new name durable too, where the system lets a directory be opened."""
    if sys.platform != "win32":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
