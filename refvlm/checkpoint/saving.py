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
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, TensorSpec, serialize_file

from .errors import CheckpointError, is_text, quoted
from .header import METADATA, STORAGE

KINDS = {dtype: kind for kind, dtype in STORAGE.items() if kind not in ("BF16", "BOOL")}
KINDS[np.dtype(bool)] = "BOOL"
SPELLED = {"BF16": "bfloat16", "BOOL": "bool"}  # the others as NumPy spells them
EXPONENT = 0x7F80  # bits that are all ones in a bfloat16 that is no finite number


class Raw(NamedTuple):
    """Numbers as a file has them: of bfloat16, which NumPy lacks, the bits."""

    kind: str
    numbers: np.ndarray


def save(
    path: str | Path,
    tensors: Mapping[str, np.ndarray | Raw],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a `.safetensors` file that `load` and other readers accept.

    A `Raw` is written as the kind that it names. The metadata says `format: pt` unless
    it says otherwise: the layout of the arrays is PyTorch's, and Hugging Face's loaders
    ask for it.
    """
    checked = {name: _checked(name, tensors[name]) for name in tensors}
    described = {"format": "pt", **(metadata or {})}
    if not all(is_text(text) for pair in described.items() for text in pair):
        raise CheckpointError("save: the metadata must be texts")
    with _replacing(Path(path)) as partial:
        specs = {name: _spec(raw) for name, raw in checked.items()}
        serialize_file(specs, partial, described)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file as UTF-8: whole, or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file: whole, or not at all."""
    with _replacing(Path(path)) as partial:
        partial.write_bytes(data)


@contextlib.contextmanager
def _replacing(path: Path):
    """A new file to write into, put in the place of `path` once all went well.

    It gets the permissions of the file that is there; one that nobody may write is
    refused. Of a link it is the target that is replaced.
    """
    place = Path(os.path.realpath(path))
    partial = place.with_name(f".{place.name}.{secrets.token_hex(4)}.partial")
    try:
        kept = _permissions(place)
        with open(partial, "xb") as file:
            mode = os.stat(file.fileno()).st_mode if kept is None else kept
        os.chmod(partial, mode)  # before there is anything to read
        yield partial
        # The library's files are their owner's alone, whatever the umask says.
        os.chmod(partial, mode)
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, place)
        _sync_directory(place.parent)
    except BaseException as problem:  # an interruption too must not leave a piece
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(problem, (OSError, SafetensorError)):
            raise CheckpointError(f"{path} cannot be written: {problem}") from None
        raise


def _permissions(place):
    """Those of a file that is there and may be written; None where there is none."""
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        return None
    if write_protected(place):
        raise PermissionError("it is write-protected")
    return stat.S_IMODE(mode)


def write_protected(path: str | Path) -> bool:
    """Whether a file says that it is not to be written: to an administrator too."""
    writers = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return not os.stat(path).st_mode & writers or not os.access(path, os.W_OK)


def _checked(name: str, tensor: np.ndarray | Raw) -> Raw:
    """The numbers as they will lie in the file: row-major and little-endian."""
    if not is_text(name) or name == METADATA:
        raise CheckpointError(f"save: {quoted(name)} cannot be a tensor's name")
    array = tensor.numbers if isinstance(tensor, Raw) else tensor
    if not isinstance(array, np.ndarray):
        what = type(array).__name__
        raise CheckpointError(f"save: {quoted(name)} is a {what}, not an array")
    little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    natural = KINDS.get(little.dtype, "")
    kind = tensor.kind if isinstance(tensor, Raw) else natural
    if not kind or (kind != natural and little.dtype != STORAGE.get(kind)):
        raise CheckpointError(
            f"save: {quoted(name)} has the dtype {f'{kind} of ' if kind else ''}"
            f"{array.dtype}"
        )
    if not is_finite(kind, little):
        raise CheckpointError(
            f"save: {quoted(name)} holds numbers that are not finite, which no reader "
            "would accept"
        )
    return Raw(kind, little)


def is_finite(kind: str, numbers: np.ndarray) -> bool:
    """Whether no number of a kind of the file is NaN or infinite."""
    if kind == "BF16":
        return not bool((numbers.view("<u2") & EXPONENT == EXPONENT).any())
    return numbers.dtype.kind != "f" or bool(np.isfinite(numbers).all())


def _spec(raw: Raw) -> TensorSpec:
    """Where the library finds the numbers in memory."""
    numbers = raw.numbers
    return TensorSpec(
        dtype=SPELLED.get(raw.kind, numbers.dtype.name),
        shape=numbers.shape,
        data_ptr=numbers.ctypes.data,
        data_len=numbers.nbytes,
    )


def _sync_directory(directory: Path) -> None:
    """Make the new name durable too, where the system lets a directory be opened."""
    if sys.platform != "win32":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
