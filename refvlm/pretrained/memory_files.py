"""A memory in a file: safetensors, and what was noted of the whole in its metadata.

    mean (K, C), covariance (K, K)           what is believed
    addresses (f, K), codes (f, C)           the receipts, one picture after the other
    order (layers, 2, 1, C)                  where an LSTM that reads one way stands
    metadata refvlm_memory                   one JSON object:
        version     of this layout
        model       the fingerprint of the model whose memory it is
        shown       how many pictures were shown, those that are forgotten too
        pictures    a list of number, name, and how many facts
        checksum    of all tensors and of this object: by it, what is damaged is known

A file comes from outside. What does not fit is refused with a reason, and what is there
already is replaced only if it is a memory of the same model.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import checkpoint
from ..arguments import is_whole
from ..blocks.episodic_memory.prior import Memory
from ..checkpoint import CheckpointError, DamagedFileError
from ..checkpoint.documents import parse_object
from ..checkpoint.errors import is_text
from ..checkpoint.stored import StoredTensor, TensorFile
from ..models.microvlm_config import MemoryConfig

NOTE = "refvlm_memory"
VERSION = 1
LONGEST_NAME = 255
LARGEST = 1e9  # of all numbers: none that was ever written comes near
ROUNDING = 1e-3  # of a covariance, in units of its largest variance
UNTOUCHED = "It was not touched; another name begins a new memory"


class Receipt(NamedTuple):
    """What was written of a picture: its name, and n codes (n, C) at their addresses
    (n, K)."""

    name: str
    addresses: np.ndarray
    codes: np.ndarray


class Kept(NamedTuple):
    """All that there is of a memory: what is believed, the receipts by number, how many
    pictures were shown, and the state of the LSTM behind the last, if it has one."""

    belief: Memory
    receipts: dict[int, Receipt]
    shown: int
    order: np.ndarray | None


def save(path: Path, kept: Kept, model: str) -> None:
    """Write the memory of a model: whole, or not at all."""
    if checkpoint.is_there(path):
        _check_model(_note(_opened(path), path), model, path)
    tensors = {**kept.belief._asdict()}
    for part in ("addresses", "codes") if kept.receipts else ():
        rows = [getattr(receipt, part) for receipt in kept.receipts.values()]
        tensors[part] = np.concatenate(rows)
    if kept.order is not None:
        tensors["order"] = kept.order
    note: dict[str, Any] = {
        "version": VERSION,
        "model": model,
        "shown": kept.shown,
        "pictures": [
            {"number": number, "name": receipt.name, "facts": len(receipt.codes)}
            for number, receipt in kept.receipts.items()
        ],
    }
    note["checksum"] = _checksum(tensors, note)
    checkpoint.save(path, tensors, {"format": "np", NOTE: json.dumps(note)})


def load(path: Path, config: MemoryConfig, model: str) -> Kept:
    """The memory in a file, if it is one of this model."""
    file = _opened(path)
    note = _note(file, path)
    _check_size(file, config, path)
    _check_model(note, model, path)
    tensors = {
        name: StoredTensor(file, record, None).array()
        for name, record in file.records.items()
    }
    pictures: Any = note.get("pictures")
    shown: Any = note.get("shown")
    if (
        note.get("checksum") != _checksum(tensors, note)
        or not _are_pictures(pictures, shown)
        or not _fit(tensors, sum(one["facts"] for one in pictures), shown, config)
        or not _can_be_believed(tensors)
    ):
        raise _damaged(path)
    receipts, start = {}, 0
    for one in pictures:
        rows = slice(start, start + one["facts"])
        parts = tensors["addresses"][rows], tensors["codes"][rows]
        receipts[one["number"]] = Receipt(one["name"], *map(np.array, parts))
        start = rows.stop
    belief = Memory(tensors["mean"], tensors["covariance"])
    return Kept(belief, receipts, shown, tensors.get("order"))


def _checksum(tensors: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> int:
    """A number that changes with any bit of the tensors, and with what is noted."""
    noted = {name: note[name] for name in note if name != "checksum"}
    total = zlib.crc32(json.dumps(noted, sort_keys=True).encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].tobytes(), total)
    return total


def _opened(path):
    try:
        return TensorFile(path)
    except DamagedFileError:  # nobody can download it again
        raise _damaged(path) from None


def _note(file, path) -> dict[str, Any]:
    """What a memory's file says of the whole; no other file has such a note."""
    if NOTE not in file.metadata:
        raise CheckpointError(
            f"{path} is a file of safetensors, but no memory. {UNTOUCHED}"
        )
    note = parse_object(file.metadata[NOTE], f"the note in {path}", CheckpointError)
    version = note.get("version")
    if not is_whole(version) or version < 1:
        raise _damaged(path)
    if version > VERSION:
        raise CheckpointError(
            f"{path} is a memory in layout {version!s:.20}, which a newer refvlm "
            f"wrote: layout {VERSION} is the last that is read here. {UNTOUCHED}"
        )
    return note


def _check_size(file, config, path):
    theirs, ours = file.records.get("mean"), (config.slots, config.width)
    if theirs is not None and theirs.shape != ours:
        raise CheckpointError(
            f"{path} is a memory of another size, {_size(theirs.shape)}, and this "
            f"model's has {_size(ours)}: give the model that wrote it. {UNTOUCHED}"
        )


def _size(shape):
    return " slots of ".join(map(str, shape))


def _check_model(note, model, path):
    if note.get("model") != model:
        raise CheckpointError(
            f"{path} is the memory of another model: what one wrote no other can read, "
            f"whatever its size. Give the model that wrote it. {UNTOUCHED}"
        )


def _are_pictures(pictures, shown) -> bool:
    """Whether these are objects whose numbers rise, each with a name and with facts."""
    if not isinstance(pictures, list) or not is_whole(shown) or shown < 0:
        return False
    last = 0
    for one in pictures:
        if not (
            isinstance(one, dict)
            and all(is_whole(one.get(name)) for name in ("number", "facts"))
            and last < one["number"] <= shown
            and one["facts"] >= 1
            and is_text(one.get("name"))
            and len(one["name"]) <= LONGEST_NAME
        ):
            return False
        last = one["number"]
    return True


def _fit(tensors, facts, shown, config) -> bool:
    """Whether these are the tensors of so many facts, and no others."""
    slots, width = config.slots, config.width
    wanted: dict[str, tuple[int, ...]]
    wanted = {"mean": (slots, width), "covariance": (slots, slots)}
    if facts:
        wanted |= {"addresses": (facts, slots), "codes": (facts, width)}
    if shown and not config.both_ways:
        wanted["order"] = (config.order_layers, 2, 1, config.order_width)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return shapes == wanted and all(t.dtype.kind == "f" for t in tensors.values())


def _can_be_believed(tensors) -> bool:
    """Whether the numbers are of a size that can be squared in single precision, the
    mean says something, and the covariance is one, to what rounding leaves of it."""
    if any(np.abs(tensor).max() > LARGEST for tensor in tensors.values()):
        return False
    covariance = tensors["covariance"]
    doubts = np.diagonal(covariance)
    rounding = ROUNDING * doubts.max()
    asymmetry = np.abs(covariance - covariance.T).max()
    is_one = doubts.max() > 0 and max(asymmetry, -doubts.min()) <= rounding
    return bool(is_one and tensors["mean"].any())


def _damaged(path):
    return CheckpointError(
        f"{path} is damaged, or no memory that refvlm wrote. {UNTOUCHED}"
    )
