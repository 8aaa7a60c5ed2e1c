"""Opening a checkpoint: one safetensors file, or a directory of one or many.

A large model comes in shards, with `model.safetensors.index.json` saying which tensor
is in which file. The index is from outside as well: a shard is a plain file name in the
same directory, and holds what the index says and nothing that it places elsewhere. What
the index leaves out is a tensor like those of a single file: whoever opens the model
says whether it may be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .directories import INDEX, PICKLES, SINGLE, lack, pickle_error
from .documents import is_there, read_json
from .errors import CheckpointError, listed, quoted
from .stored import StoredTensor, TensorFile
from .weights import Weights


def load(path: str | Path, dtype: Any = np.float32) -> Weights:
    """The weights in a `.safetensors` file, an index, or a directory with either.

    Nothing is read but the headers. A floating tensor becomes `dtype` (None: as it is
    stored, with bfloat16 as float32) when it is first looked up; integers and booleans
    stay what they are. Arrays are read-only.
    """
    floating = None if dtype is None else _floating(dtype)
    path = Path(path)
    if path.is_dir():
        path = _find(path)
    if path.suffix in PICKLES:
        raise pickle_error([path])
    if path.suffix == ".json":
        files = _shards(path)
    else:
        files = [TensorFile(path)]
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for name, record in file.records.items():
            if name in tensors:
                raise CheckpointError(
                    f"{path}: tensor {quoted(name)} is in two shards, which may differ"
                )
            tensors[name] = StoredTensor(file, record, floating)
    return Weights.of_tensors(tensors, str(path))


def _floating(dtype) -> np.dtype:
    """One of the three that NumPy computes in."""
    try:
        floating = np.dtype(dtype)
    except TypeError:  # NumPy has no such name
        floating = dtype
    if floating not in (np.float16, np.float32, np.float64):
        raise CheckpointError(f"load: dtype is {floating!s:.60}, not float16, 32 or 64")
    return floating


def _find(directory: Path) -> Path:
    """The file of a directory to begin with."""
    for name in (SINGLE, INDEX):
        if is_there(directory / name):
            return directory / name
    raise lack(directory, f"{SINGLE} nor {INDEX}")


def _shards(path: Path) -> list[TensorFile]:
    """The files of an index, each holding just the tensors that the index says."""
    place = read_json(path).get("weight_map")
    if not isinstance(place, dict) or not place:
        raise CheckpointError(f"{path}: weight_map must say which file holds a tensor")
    wanted: dict[str, set[str]] = {}
    for name, shard in place.items():
        if not _is_plain(shard):
            raise CheckpointError(
                f"{path}: tensor {quoted(name)} is said to be in {quoted(shard)}; a "
                "shard is given by a plain file name, ending in .safetensors"
            )
        wanted.setdefault(shard, set()).add(name)
    return [_shard(path, shard, names, place) for shard, names in wanted.items()]


def _is_plain(shard: Any) -> bool:
    return (
        isinstance(shard, str)
        and len(shard) <= 255
        and shard.endswith(".safetensors")
        and not shard.startswith(".")
        and not set(shard) & set("/\\:")
        and shard.isprintable()
    )


def _shard(
    index: Path, shard: str, names: set[str], place: dict[str, str]
) -> TensorFile:
    path = index.parent / shard
    if not is_there(path):
        raise CheckpointError(
            f"{index} names the shard {quoted(shard)}, which is not there: download it"
        )
    file = TensorFile(path)
    absent = [quoted(name) for name in sorted(names - file.records.keys())]
    if absent:
        raise CheckpointError(
            f"{path} lacks {listed(absent)}, which {index.name} says it holds"
        )
    others = file.records.keys() & place.keys()
    excess = [quoted(name) for name in sorted(others - names)]
    if excess:
        raise CheckpointError(
            f"{path} also holds {listed(excess)}, which {index.name} places elsewhere: "
            "the directory mixes two checkpoints"
        )
    return file
