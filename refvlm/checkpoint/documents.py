"""Reading small files from outside: ordinary, of bounded size, UTF-8, one JSON object.

A configuration is a few kilobytes, a vocabulary a few megabytes. Whatever is larger,
deeper, ambiguous or not text at all gets one clear error.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from .errors import CheckpointError, quoted

MEGABYTE = 1 << 20
LFS_POINTER = b"version https://git-lfs"  # where half a clone should have the file


def read_json(
    path: str | Path,
    limit: int = 16 * MEGABYTE,
    error: type[ValueError] = CheckpointError,
) -> dict[str, Any]:
    """The JSON object in a file. A name given twice, NaN and Infinity are errors.

    `limit` is the largest size in bytes; `error` is the class of what is raised.
    """
    return parse_object(read_text(path, limit, error), str(path), error)


def read_text(
    path: str | Path,
    limit: int = 16 * MEGABYTE,
    error: type[ValueError] = CheckpointError,
) -> str:
    """The UTF-8 text in a file of at most `limit` bytes."""
    with open_ordinary(path, error) as file:
        # As much as there is: asked for more, Python would make room for all of it.
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit) + 1)
    if len(content) > min(size, limit):
        raise error(f"{path} is larger than {limit} bytes: this is not a file to trust")
    if content.startswith(LFS_POINTER):
        raise error(f"{path} is a Git LFS pointer, not the file: run git lfs pull")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{path} is not UTF-8 text: {problem}") from None


def is_there(path: str | Path) -> bool:
    """Whether a directory has this name, be it a link that leads nowhere.

    Half of a download may be such links. To read one is an error, and so not the same
    as to do without the file.
    """
    return os.path.lexists(path)


def open_ordinary(
    path: str | Path, error: type[ValueError] = CheckpointError
) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device could block for ever."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            return open(path, "rb")
    except FileNotFoundError:
        what = (
            "this link leads nowhere: download the file"
            if is_there(path)
            else ("there is no such file")
        )
        raise error(f"{path}: {what}") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be opened: {problem}") from None
    raise error(f"{path} is not an ordinary file")


def parse_object(text: str, source: str, error: type[ValueError]) -> dict[str, Any]:
    """The JSON object that `text` is; `source` names it in messages."""
    try:
        document = json.loads(
            text, object_pairs_hook=_unique_names, parse_constant=_no_constant
        )
    except RecursionError:
        raise error(f"{source}: the JSON is nested too deeply") from None
    except ValueError as problem:
        raise error(f"{source} is not valid JSON: {problem}") from None
    if not isinstance(document, dict):
        raise error(f"{source} holds a JSON {type(document).__name__}, not an object")
    return document


def _unique_names(pairs):
    document = {}
    for name, value in pairs:
        if name in document:
            raise ValueError(f"the name {quoted(name)} appears twice in one object")
        document[name] = value
    return document


def _no_constant(name):
    raise ValueError(f"{name} is not a JSON number")
